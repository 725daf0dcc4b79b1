/**
 * Ends a process when we are gone, however we went, kill -9 included. A shell waits for a word on a pipe that only we hold; if the pipe
 * ends without the word, it acts. (Where there is no /bin/sh it does nothing.)
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

const SCRIPT = `trap '' INT TERM HUP
read -r word && exit 0
kill -"$2" "$1"
for turn in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; grep -qs ") Z " "/proc/$1/stat" && break; sleep 1; done
test -z "$3" || rm -rf -- "$3"`;

export interface Watchdog {
  /** The process has ended, or shall live on. */
  dismiss(): void;
}

/**
 * @param pid whom to end
 * @param signal without "SIG"
 * @param folder what to remove afterwards
 */
export function setWatchdog(pid: number, signal: 'QUIT' | 'KILL', folder = ''): Watchdog {
  if (process.platform === 'win32') return { dismiss: () => undefined };
  const dog = spawn('/bin/sh', ['-c', SCRIPT, 'sh', String(pid), signal, folder], { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  dog.once('error', () => undefined);
  dog.stdin.once('error', () => undefined);
  // It must not keep us alive.
  dog.unref();
  (dog.stdin as Socket).unref();
  return { dismiss: () => void dog.stdin.end('done\n') };
}
