/**
 * Under which conditions a benchmark ran: machine, versions, load. A figure without them is no figure.
 */
import { cpus, loadavg, release, totalmem } from 'node:os';

/** From this load on (runnable processes, average of the last minute) wall times are worth little. */
const quiet_load_max = 0.5;

/** Prints the conditions, and on stderr a warning when the machine is busy. */
export function printConditions(benchmark: string): void {
  const [load = 0] = loadavg();
  console.log(`${benchmark}, ${new Date().toISOString()}`);
  console.log(
    `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${release()}, Node ${process.version}`,
  );
  console.log(`load average at the start: ${load.toFixed(2)}`);
  if (load > quiet_load_max) console.error(`WARNING: the load is above ${quiet_load_max}. Counts are right all the same; times are not worth keeping.`);
}

/** Prints the load at the end, which tells whether somebody else was at work meanwhile. */
export function printEnd(): void {
  console.log(`load average at the end: ${loadavg()[0]?.toFixed(2)}`);
}
