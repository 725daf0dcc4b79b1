/**
 * The options of `npm start`. Without a `--` before them npm takes them for its own, and passes them on as variables of the environment: those are
 * understood too, as far as npm has kept what was written.
 */
import { parseArgs } from 'node:util';
import { Problem } from '../domain/problem.ts';

export const START_OPTIONS = 'npm start knows --once, --port N, --data NAME and --json: npm start -- --once';

export interface StartOptions {
  readonly once: boolean;
  readonly json: boolean;
  readonly help: boolean;
  readonly data: string;
  readonly port: number | undefined;
}

/**
 * @param argv what stands behind `--`
 * @param env of the process
 * @throws Problem usage
 */
export function readStartOptions(argv: readonly string[], env: NodeJS.ProcessEnv): StartOptions {
  try {
    const kept = optionsOfNpm(env);
    const { values, positionals } = parseArgs({
      args: [...kept, ...argv], // what stands behind "--" goes before what npm has kept
      allowPositionals: true,
      options: {
        once: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        port: { type: 'string' },
        data: { type: 'string', default: 'main' },
      },
    });
    if (positionals.length > 0) throw new Error(`"${positionals[0]}" belongs to no option`);
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) throw new Error('--port is a number from 1 to 65535');
    if (!/^[a-z0-9-]{1,40}$/.test(values.data)) throw new Error('--data is a name of small letters, digits and "-"');
    return { once: values.once === true, json: values.json === true, help: values.help === true, data: values.data, port };
  } catch (error) {
    throw new Problem('usage', `${(error as Error).message}. ${START_OPTIONS}`);
  }
}

/** What npm has kept for itself. Of `--port 8788` it keeps only that there was a port. */
function optionsOfNpm(env: NodeJS.ProcessEnv): string[] {
  if (env.npm_lifecycle_event !== 'start') return [];
  const flags = ['once', 'json'].filter((name) => env[`npm_config_${name}`] === 'true').map((name) => `--${name}`);
  const values = ['port', 'data'].flatMap((name) => {
    const value = env[`npm_config_${name}`];
    if (!value) return [];
    if (value === 'true') throw new Error(`npm has kept --${name} for itself, because no "--" stands before it: npm start -- --${name} VALUE`);
    return [`--${name}=${value}`];
  });
  return [...flags, ...values];
}
