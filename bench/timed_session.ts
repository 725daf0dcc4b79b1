/**
 * A session with a clock: how long each of its pipelines waited, when the last answer came, and what its backend had worked by then.
 * Everything else it hands on.
 */
import { readFileSync } from 'node:fs';
import type { Session } from '../src/database/session.ts';

export class TimedSession implements Session {
  readonly announcedPid: number | null;
  readonly waitsMs: number[] = [];
  /** When the last answer came. */
  answeredMs = Number.NaN;
  /** Milliseconds of CPU that the backend had used in user mode when the last answer came; NaN where it cannot be seen. */
  backendCpuMs = Number.NaN;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.announcedPid = session.announcedPid;
  }

  async pipeline(...question: Parameters<Session['pipeline']>): ReturnType<Session['pipeline']> {
    const startMs = performance.now();
    const replies = await this.#session.pipeline(...question);
    this.answeredMs = performance.now();
    this.waitsMs.push(this.answeredMs - startMs);
    this.backendCpuMs = cpuMsOf(this.announcedPid);
    return replies;
  }

  query(...question: Parameters<Session['query']>): ReturnType<Session['query']> {
    return this.#session.query(...question);
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

/**
 * User time of a process of this machine (proc(5), /proc/PID/stat, field 14, in ticks of 10 ms); NaN where there is no such file. System time is
 * left out: making files takes the kernel now a tenth of a second and now three, whoever asks for them.
 */
function cpuMsOf(pid: number | null): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command may hold spaces and parentheses, so count from the last one: field 3 comes first.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) * 10;
  } catch {
    return Number.NaN;
  }
}
