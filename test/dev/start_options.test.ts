/** The options of `npm start`, behind `--`, and as npm passes them on where that is missing. */
import { expect, it } from 'vitest';
import { readStartOptions } from '../../src/dev/start_options.ts';

const NPM = { npm_lifecycle_event: 'start' };
const read = (argv: string[], env: NodeJS.ProcessEnv = {}) => readStartOptions(argv, env);

it('understands what npm keeps for itself; what stands behind "--" goes before it', () => {
  expect(read([], { ...NPM, npm_config_once: 'true', npm_config_port: '8788', npm_config_data: 'other', npm_config_json: 'true' })).toEqual({
    once: true,
    json: true,
    help: false,
    data: 'other',
    port: 8788,
  });
  expect(read(['--port', '9000'], { ...NPM, npm_config_port: '8788' }).port).toBe(9000);
  expect(read([], { ...NPM, npm_config_once: '' }).once).toBe(false);
});

it('leaves alone what another script of npm was given', () => {
  expect(read([], { npm_lifecycle_event: 'test', npm_config_once: 'true', npm_config_port: 'true' })).toMatchObject({ once: false, port: undefined });
});

it.each([
  ['a value that npm has dropped', ['8788'], { ...NPM, npm_config_port: 'true' }, 'npm start -- --port VALUE'],
  ['what belongs to no option', ['8788'], {}, '"8788" belongs to no option'],
  ['a port that is none', ['--port', '0'], {}, '--port is a number from 1 to 65535'],
  ['an option that it does not know', ['--twice'], {}, 'npm start knows --once'],
])('refuses %s', (_, argv, env, words) => {
  expect(() => read(argv, env)).toThrow(words);
});
