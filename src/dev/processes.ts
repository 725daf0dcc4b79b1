/**
 * Processes of this machine, seen from outside: who lives, what it was started with, whose child it is. On Linux from /proc,
 * elsewhere from `ps`. Knows nothing of PostgreSQL.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Whether a process with this id lives. One of another user's does too; one that ended and that nobody has reaped yet does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return process.platform !== 'linux' || !['Z', 'X', undefined].includes(statusOf(pid)?.state);
}

/** The command line of a process, its words joined by spaces; '' when it is gone or not to be seen. */
export function commandLineOf(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}

/** When a process began, in whatever form this machine says it; '' when it is gone. With the id it is unique: ids are used again. */
export function birthOf(pid: number): string {
  try {
    if (process.platform === 'linux') return statusOf(pid)?.birth ?? '';
    return execFileSync('ps', ['-p', String(pid), '-o', 'lstart='], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

/** The ids of the children of a process. */
export function childrenOf(parent: number): number[] {
  return parentage()
    .filter((one) => one.parent === parent)
    .map((one) => one.pid);
}

/**
 * Waits until a process is gone.
 * @param timeoutMs how long to wait, in milliseconds
 * @returns whether it is gone
 */
export async function waitUntilGone(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(pid)) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

function parentage(): { pid: number; parent: number }[] {
  if (process.platform !== 'linux') {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
    return lines.map((line) => line.trim().split(/\s+/).map(Number)).map(([pid = 0, parent = 0]) => ({ pid, parent }));
  }
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => ({ pid: Number(pid), parent: statusOf(Number(pid))?.parent ?? 0 }));
}

/** From /proc/PID/stat: "pid (command) state ppid …", and as the 22nd when it began, in ticks since boot (proc(5)); null when the process is gone. */
function statusOf(pid: number): { state: string | undefined; parent: number; birth: string | undefined } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command may hold spaces and parentheses, so count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], parent: Number(fields[1]), birth: fields[19] };
  } catch {
    return null;
  }
}
