/**
 * `weft dev`: the local stack, until Ctrl-C. The stack itself is dev/'s, which only a checkout has; this starts it and says
 * where it is.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Problem } from '../../domain/problem.ts';
import type { Call } from '../commands.ts';

/** What this uses of a stack (src/dev/stack.ts). */
interface Stack {
  readonly url: string;
  readonly database: string;
  readonly secret: string;
  readonly target: string;
  readonly caller: string;
  close(): Promise<void>;
}

export async function dev({ printer }: Call): Promise<number> {
  const file = new URL('../../dev/stack.ts', import.meta.url);
  if (!existsSync(file) || fileURLToPath(file).includes('/node_modules/')) {
    throw new Problem(
      'set_up',
      'The local stack is part of a checkout of the repository, not of the published package. Clone it and run "npm install && npm start" there.',
    );
  }
  const { startStack } = (await import(file.href)) as { startStack(o: { log: (line: string) => void }): Promise<Stack> };
  const stack = await startStack({ log: (line) => printer.note(line) });
  try {
    if (printer.json) {
      // One line, because a program reads it while this goes on.
      printer.io.stdout.write(
        `${JSON.stringify({ url: stack.url, database: stack.database, secret: stack.secret, target: stack.target, caller: stack.caller })}\n`,
      );
    } else {
      printer.say(
        [
          'The local stack is up. In another terminal:',
          '',
          `  export WEFT_URL=${stack.url} WEFT_TARGET=${stack.target} WEFT_CALLER=${stack.caller}`,
          `  export WEFT_SECRET=${stack.secret}`,
          '  npx weft deploy FOLDER',
          '',
          `Straight to its database: DATABASE_URL=${stack.database}`,
          'Ctrl-C ends it.',
        ].join('\n'),
      );
    }
    const { signal } = printer.io;
    if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    return 0;
  } finally {
    await stack.close();
  }
}
