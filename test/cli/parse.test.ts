import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { parse } from '../../src/cli/parse.ts';
import { run } from './run.ts';

function refusal(argv: string[]): string {
  try {
    parse(argv);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it was taken');
}

describe('the command line', () => {
  it('takes a command, its words and its options', () => {
    const parsed = parse(['deploy', 'shop', '--id', 'run-1', '--strict', '--json']);
    expect(parsed.command?.name).toBe('deploy');
    expect(parsed.positionals).toEqual(['shop']);
    expect(parsed.values).toEqual({ id: 'run-1', strict: true, json: true });
  });

  it('takes options before the command when they need no value', () => {
    expect(parse(['--json', 'status'])).toMatchObject({ json: true, command: { name: 'status' } });
  });

  it('takes a command of two words', () => {
    expect(parse(['config', 'check', 'wrangler.toml'])).toMatchObject({ command: { name: 'config check' }, positionals: ['wrangler.toml'] });
    expect(refusal(['config'])).toContain('weft config check');
    expect(parse(['config', '--help'])).toMatchObject({ command: { name: 'config check' }, help: true });
    expect(refusal(['config', 'chekc', '--help'])).toContain('weft config check');
  });

  it('takes a folder whose name looks like an option, behind --', () => {
    expect(parse(['check', '--', '-folder']).positionals).toEqual(['-folder']);
  });

  it('names the nearest command to one it does not know', () => {
    expect(refusal(['chekc', 'x'])).toBe('There is no command "chekc". Did you mean "weft check"?');
    expect(refusal(['frobnicate'])).toBe('There is no command "frobnicate". "weft --help" lists them.');
  });

  it('names the nearest option to one it does not know', () => {
    expect(refusal(['deploy', 'shop', '--databse=x'])).toBe('"weft deploy" has no option "--databse". Did you mean "--database"?');
    expect(refusal(['check', 'shop', '--database', 'x'])).toBe('"weft check" has no option "--database". "weft check --help" lists them.');
    expect(refusal(['check', 'shop', '-x'])).toContain('no option "-x"');
  });

  it('refuses an option without its value, with one it does not take, or twice', () => {
    expect(refusal(['deploy', 'shop', '--id'])).toBe('--id needs a value: --id KEY.');
    expect(refusal(['deploy', 'shop', '--id', '--strict'])).toBe('--id needs a value: --id KEY.');
    expect(refusal(['deploy', 'shop', '--strict=yes'])).toBe('--strict takes no value.');
    expect(refusal(['deploy', 'shop', '--id', 'a', '--id', 'b'])).toBe('--id stands here twice.');
  });

  it('refuses too few words and too many', () => {
    expect(refusal(['deploy'])).toBe('"weft deploy" needs <folder>: weft deploy <folder>.');
    expect(refusal(['check', 'a', 'b'])).toBe('"weft check" does not know what to do with "b".');
  });

  it('repeats no word that may hold a secret', () => {
    const url = 'postgres://role:hunter22@db.example/shop';
    for (const argv of [[url], ['--database', url, 'deploy'], ['check', 'a', url], ['check', 'a', `--databas=${url}`], ['sign', 'a', 'whsec_abcdefgh']]) {
      expect(refusal(argv)).not.toMatch(/hunter22|abcdefgh/);
    }
  });

  it('takes --set and --set-env as often as they stand there', () => {
    const argv = ['deploy', 'shop', '--set', 'a=b', '--set-env', 'c=D', '--set', 'e=f=g'];
    expect(parse(argv)).toMatchObject({ values: {}, lists: { set: ['a=b', 'e=f=g'], 'set-env': ['c=D'] } });
    expect(refusal(['deploy', 'shop', '--set'])).toContain('--set needs a value');
  });
});

describe('help', () => {
  it('lists every command and says where addresses and secrets come from', async () => {
    const { code, stdout, stderr } = await run(['--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const command of COMMANDS) expect(stdout).toContain(command.name);
    for (const name of ['DATABASE_URL', 'WEFT_URL', 'WEFT_TARGET', 'WEFT_SECRET']) expect(stdout).toContain(name);
    expect(stdout).toContain('Other users of this machine can see a command line');
  });

  it.each(COMMANDS.map((command) => command.name))('says what "%s" does, without its words', async (name) => {
    const { code, stdout } = await run([...name.split(' '), '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: weft ${name}`);
    expect(stdout.split('\n').every((line) => line.length <= 120)).toBe(true);
  });

  it('goes to stderr with exit code 2 when no command is named', async () => {
    const { code, stdout, stderr } = await run([]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('Usage: weft <command>');
  });

  it('is a JSON document with --json', async () => {
    expect((await run(['--help', '--json'])).json().help).toContain('Usage');
    expect((await run(['deploy', '--help', '--json'])).json().help).toContain('Usage');
  });

  it('has the version of the package', async () => {
    const { stdout } = await run(['--version']);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run(['--version', '--json'])).json()).toEqual({ version: stdout.trim() });
  });
});

describe('a problem', () => {
  it('is words on stderr, and nothing on stdout', async () => {
    const { code, stdout, stderr } = await run(['check', '/no/such/folder']);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatchInlineSnapshot(`
      "weft: The bundle is not valid.
        There is no folder "/no/such/folder" (it does not exist).
      "
    `);
  });

  it('is one JSON document on stdout with --json, whatever is wrong', async () => {
    for (const argv of [['check', '/no/such/folder'], ['chekc'], ['deploy'], ['deploy', 'x', '--what'], ['deploy', '/no/such/folder'], []]) {
      const result = await run([...argv, '--json']);
      expect(result.code).toBe(2);
      expect(result.json().problem).toMatchObject({ type: expect.stringMatching(/^urn:weft:problem:/), title: expect.any(String), detail: expect.any(String) });
    }
  });
});
