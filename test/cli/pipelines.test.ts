/**
 * The step of GitHub Actions, the job of GitLab CI and the steps of Azure Pipelines: the script that each of them holds, run by a real shell with
 * the variables that the forge would set, through a Worker in workerd. What the forges do themselves (inputs put into variables) is done here.
 */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import packageFile from '../../package.json' with { type: 'json' };
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { azureClaims, githubClaims, gitlabClaims, type Issuer, startIssuer } from '../support/issuer.ts';
import { sql } from '../support/sql.ts';
import { putFiles } from './folder.ts';

type Values = Readonly<Record<string, string>>;
type Forge = 'github' | 'gitlab' | 'azure';

/** What is asked of a forge, in the words of its file. */
interface Given {
  readonly folder: string;
  readonly parameters?: string;
  readonly secretParameters?: string;
  readonly rehearse?: boolean;
  readonly strict?: boolean;
  /** To the target that asks for a second person; whether it may wait for them. */
  readonly guarded?: { readonly mayWait: boolean };
  /** Where the file of the forge takes one. */
  readonly id?: string;
  /** Without the caller's secret, where the forge's tokens are enough. */
  readonly keyless?: boolean;
}

interface Job {
  readonly shell: string;
  readonly script: string;
  readonly env: Values;
}

const SECRET = generateSecret();
const AZURE_SECRET = generateSecret();
const SUB = '/eid1/c/pub/t/abc/a/def/sc/1111/2222';

let database: TestDatabase;
let guarded: TestDatabase;
let relay: Relay;
let worker: LocalWorker;
let issuer: Issuer;
/** Where `npx` is the command line of this checkout. */
let bin: string;

beforeAll(async () => {
  [database, guarded, issuer] = await Promise.all([freshDatabase(), freshDatabase(), startIssuer()]);
  const url = new URL(database.url);
  relay = await startRelay({ to: { host: url.hostname, port: Number(url.port) } });
  worker = await startWorker({
    config: {
      environments: { guarded: { second_person: true } },
      targets: {
        shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true },
        guarded: { database: 'GUARDED_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true, environment: 'guarded' },
      },
      callers: {
        ci: { secrets: ['CI_SECRET'] },
        github: { identity: { kind: 'github', issuer: `${issuer.origin}/github`, repository_id: '123456789', repository_owner_id: '9919' } },
        gitlab: { identity: { kind: 'gitlab', issuer: issuer.origin, project_id: '4711', namespace_id: '77' } },
        azure: { secrets: ['AZURE_SECRET'], identity: { kind: 'azure', issuer: `${issuer.origin}/tenant/v2.0`, sub: SUB } },
      },
      grants: ['ci', 'github', 'gitlab', 'azure'].map((caller) => ({ caller, targets: ['shop', 'guarded'], actions: ['deploy', 'read'] })),
    },
    secrets: { SHOP_URL: database.url, GUARDED_URL: guarded.url, CI_SECRET: SECRET, AZURE_SECRET },
  });
  issuer.onTokenRequest = async (asked) => {
    const audience = asked.searchParams.get('audience') ?? '';
    if (asked.pathname === '/runner') return { status: 200, body: { value: await issuer.sign(githubClaims(`${issuer.origin}/github`, audience, now())) } };
    return { status: 200, body: { oidcToken: await issuer.sign(azureClaims(`${issuer.origin}/tenant/v2.0`, SUB, now())) } };
  };
  bin = mkdtempSync(join(tmpdir(), 'weft-bin-'));
  writeFileSync(
    join(bin, 'npx'),
    `#!/bin/sh\n[ "$1 $2" = "--yes pgweft@${packageFile.version}" ] || exit 99\nshift 2\nexec "${process.execPath}" "${CHECKOUT}/src/cli/weft.js" "$@"\n`,
  );
  chmodSync(join(bin, 'npx'), 0o755);
});

afterAll(async () => {
  if (bin) rmSync(bin, { recursive: true });
  await worker?.stop();
  await issuer?.stop();
  await relay?.stop();
  await database?.drop();
  await guarded?.drop();
});

const now = () => Math.floor(Date.now() / 1000);

function read(path: string): string {
  return readFileSync(join(CHECKOUT, path), 'utf8');
}

/** Puts values where a forge would. */
function filled(env: Values, pattern: RegExp, value: (name: string) => string): Values {
  return Object.fromEntries(Object.entries(env).map(([name, text]) => [name, String(text).replace(pattern, (_, key) => value(key))]));
}

function needed(values: Values, name: string): string {
  const value = values[name];
  if (value === undefined) throw new Error(`no value for ${name}`);
  return value;
}

const JOBS: Readonly<Record<Forge, (given: Given, run: string) => Job>> = {
  github: ({ folder, parameters, secretParameters, rehearse, strict, guarded, keyless, id }, run) => {
    const action = parse(read('action.yml'));
    const step = action.runs.steps.find(({ run }: { run?: string }) => run !== undefined);
    const defaults = Object.fromEntries(
      Object.entries<{ default?: string }>(action.inputs).map(([name, input]) => [`inputs.${name}`, String(input.default ?? '')]),
    );
    const values = {
      ...defaults,
      'inputs.folder': folder,
      'inputs.to': worker.origin,
      'inputs.target': guarded ? 'guarded' : 'shop',
      'inputs.may-wait': String(guarded?.mayWait === true),
      'inputs.secret': keyless === true ? '' : SECRET,
      'inputs.parameters': parameters ?? '',
      'inputs.secret-parameters': secretParameters ?? '',
      'inputs.rehearse': String(rehearse === true),
      'inputs.strict': String(strict === true),
      'inputs.id': id ?? '',
      'github.run_id': run,
      'github.run_attempt': '1',
      'github.job': 'deploy',
      'github.action': '__self',
    };
    // As the runner starts what `shell: bash` names.
    return { shell: 'bash --noprofile --norc -eo pipefail', script: step.run, env: filled(step.env, /\$\{\{ ([\w.-]+) \}\}/g, (name) => needed(values, name)) };
  },
  gitlab: ({ folder, parameters, secretParameters, rehearse, strict, guarded, keyless, id }, run) => {
    const [spec, jobs] = parseAllDocuments(read('templates/gitlab.yml')).map((document) => document.toJS());
    const defaults = Object.fromEntries(Object.entries<{ default?: unknown }>(spec.spec.inputs).map(([name, input]) => [name, String(input.default ?? '')]));
    const values = {
      ...defaults,
      folder,
      to: worker.origin,
      target: guarded ? 'guarded' : 'shop',
      'may-wait': String(guarded?.mayWait === true),
      parameters: parameters ?? '',
      'secret-parameters': secretParameters ?? '',
      rehearse: String(rehearse === true),
      strict: String(strict === true),
      id: id ?? '',
    };
    const [job] = Object.values<{ variables: Values; script: string[] }>(jobs);
    if (job === undefined) throw new Error('no job');
    const env = filled(job.variables, /\$\[\[ inputs\.([\w-]+) \]\]/g, (name) => needed(values, name));
    const ofGitlab = { CI_PIPELINE_ID: run, CI_JOB_NAME_SLUG: 'weft', CI_COMMIT_SHA: 'f'.repeat(40), ...(keyless !== true && { WEFT_SECRET: SECRET }) };
    return { shell: 'sh -e', script: job.script.join('\n'), env: { ...env, ...ofGitlab } };
  },
  azure: ({ folder, parameters, secretParameters, rehearse, strict, guarded, keyless }, run) => {
    const { parameters: declared, steps } = parse(read('templates/azure.yml'));
    const defaults = Object.fromEntries(declared.map((one: { name: string; default?: unknown }) => [`parameters.${one.name}`, String(one.default ?? '')]));
    const values = {
      ...defaults,
      'parameters.folder': folder,
      'parameters.to': worker.origin,
      'parameters.target': guarded ? 'guarded' : 'shop',
      'parameters.mayWait': guarded?.mayWait === true ? 'True' : 'False',
      'parameters.parameters': parameters ?? '',
      'parameters.secretParameters': secretParameters ?? '',
      // As Azure writes a boolean.
      'parameters.rehearse': rehearse === true ? 'True' : 'False',
      'parameters.strict': strict === true ? 'True' : 'False',
      'parameters.serviceConnection': keyless === true ? '2222' : '',
    };
    const step = steps.find(({ bash }: { bash?: string }) => bash !== undefined);
    const own = Object.fromEntries(Object.entries<string>(step.env).filter(([name]) => !name.startsWith('${{')));
    const env = filled(own, /\$\{\{ ([\w.]+) \}\}/g, (name) => needed(values, name));
    const ofAzure = {
      BUILD_BUILDID: run,
      SYSTEM_JOBID: 'job',
      SYSTEM_JOBATTEMPT: '1',
      WEFT_SECRET: keyless === true ? AZURE_SECRET : SECRET,
      SYSTEM_ACCESSTOKEN: 'a',
    };
    return { shell: 'bash --noprofile --norc', script: step.bash, env: { ...env, ...ofAzure } };
  },
};

interface Ended {
  readonly code: number;
  readonly log: string;
  readonly checkout: string;
  /** What the forge shows beside the log. */
  readonly summary: string;
  /** What later jobs get of it. */
  readonly output: string;
}

let runs = 0;

async function runJob(forge: Forge, files: Values, given: Partial<Given> = {}, more: Values = {}, again?: string): Promise<Ended & { run: string }> {
  runs += 1;
  const run = again ?? String(1000 + runs);
  const checkout = mkdtempSync(join(tmpdir(), 'weft-checkout-'));
  try {
    putFiles(join(checkout), Object.fromEntries(Object.entries(files).map(([path, text]) => [`db/${path}`, text])));
    const { shell, script, env } = JOBS[forge]({ folder: 'db', ...given }, run);
    const beside = mkdtempSync(join(checkout, 'runner-'));
    writeFileSync(join(beside, 'script.sh'), script);
    const ofForge = {
      github: { GITHUB_ACTIONS: 'true', GITHUB_WORKSPACE: checkout, GITHUB_STEP_SUMMARY: join(beside, 'summary.md'), GITHUB_OUTPUT: join(beside, 'output') },
      gitlab: { GITLAB_CI: 'true', CI_PROJECT_DIR: checkout },
      azure: { TF_BUILD: 'True', BUILD_SOURCESDIRECTORY: checkout, AGENT_TEMPDIRECTORY: beside },
    }[forge];
    const [command, ...args] = shell.split(' ') as [string, ...string[]];
    const child = spawn(command, [...args, join(beside, 'script.sh')], {
      cwd: checkout,
      env: { PATH: `${bin}:${process.env.PATH}`, HOME: checkout, ...env, ...ofForge, ...more },
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (log += text));
    const code = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
    const found = forge === 'gitlab' ? join(checkout, 'weft.junit.xml') : join(beside, readdirSync(beside).find((name) => name.endsWith('.md')) ?? 'none');
    const file =
      forge === 'gitlab'
        ? join(checkout, parseAllDocuments(read('templates/gitlab.yml'))[1]?.toJS()['$[[ inputs.job ]]'].artifacts.reports.dotenv)
        : join(beside, 'output');
    const said = [...log.matchAll(/^##vso\[task\.setvariable .*\n/gm)].join('');
    const output = forge === 'azure' ? said : existsSync(file) ? readFileSync(file, 'utf8') : '';
    return { code, log, checkout, summary: existsSync(found) ? readFileSync(found, 'utf8') : '', output, run };
  } finally {
    rmSync(checkout, { recursive: true });
  }
}

/** Two phases, and tables of their own. */
function bundle(name: string, second = `create index concurrently ${name}_n on ${name} (n);`): Values {
  return {
    'weft.yaml': `name: ${name}\nphases:\n  - { name: schema, steps: [{ run: 1.sql }] }\n  - { name: indexes, transaction: none, steps: [{ run: 2.sql }] }\n`,
    '1.sql': `create table ${name} (n int);`,
    '2.sql': second,
  };
}

describe.each(['github', 'gitlab', 'azure'] as const)('%s', (forge) => {
  const group = { github: /^::group::(.*)$/gm, gitlab: /section_start:\d+:weft_\d+\r.\[0K(.*)$/gm, azure: /^##\[group\](.*)$/gm }[forge];
  const ends = { github: /^::endgroup::$/gm, gitlab: /section_end:/g, azure: /^##\[endgroup\]$/gm }[forge];

  it('deploys the folder, shows each phase as a group, puts the summary where it is seen, and ends with 0', async () => {
    const name = `fine_${forge}_${runs}`; // another one where this test is tried again
    const { code, log, summary } = await runJob(forge, bundle(name));
    expect(code, log).toBe(0);
    expect([...log.matchAll(group)].map(([, title]) => title)).toEqual(['schema', 'indexes']);
    expect([...log.matchAll(ends)]).toHaveLength(2);
    expect(log).toContain(`${name} is deployed`);
    expect(summary).toMatch(forge === 'gitlab' ? /<testsuite name="indexes" tests="1" failures="0"/ : /\| indexes \| none \| ✅ succeeded \|/);
    expect(log).not.toContain(SECRET);
    expect(await sql(database.url, `select count(*)::int as count from pg_indexes where tablename = '${name}'`)).toEqual([{ count: 1 }]);
  });

  it('ends with 1 when the deployment fails, and marks the file and line', async () => {
    const { code, log, summary } = await runJob(forge, bundle(`wrong_${forge}`, 'select 1;\n\nselect nonsense;\n'));
    expect(code, log).toBe(1);
    const mark = {
      github: /^::error file=db\/2\.sql,line=3,col=8,title=2\.sql%3A3::42703: column "nonsense" does not exist/m,
      gitlab: /<testcase classname="indexes" name="2\.sql" time="[\d.]+"><failure message="42703: column &#34;nonsense&#34; does not exist"/,
      azure: /^##vso\[task\.logissue type=error;sourcepath=db\/2\.sql;linenumber=3;columnnumber=8\]2\.sql:3: 42703: column "nonsense" does not exist/m,
    }[forge];
    expect(forge === 'gitlab' ? summary : log).toMatch(mark);
  });

  it('hands parameters on, secret ones by the environment, and whatever is in them runs as no command', async () => {
    const name = `given_${forge}`;
    const files = {
      'weft.yaml': `name: ${name}\nparameters:\n  note: { type: text }\n  token: { type: text, secret: true }\nphases: [{ name: main, steps: [{ run: 1.sql }] }]\n`,
      '1.sql': `create table ${name} as select :'note' as note, length(:'token') as length;`,
    };
    const note = `$(touch pwned) \`touch pwned\`; ' " & touch pwned`;
    const { code, log } = await runJob(forge, files, { parameters: `note=${note}\n`, secretParameters: 'token=SHOP_TOKEN' }, { SHOP_TOKEN: 's3cret-s3cret' });
    expect(code, log).toBe(0);
    expect(log).not.toContain('s3cret-s3cret');
    expect(await sql(database.url, `select * from ${name}`)).toEqual([{ note, length: 13 }]);
  });

  it('takes the value of a parameter as it is: an @ at its beginning reads no file of the runner', async () => {
    const name = `literal_${forge}`;
    const files = {
      'weft.yaml': `name: ${name}\nparameters: { note: { type: text }, more: { type: text } }\nphases: [{ name: main, steps: [{ run: 1.sql }] }]\n`,
      '1.sql': `create table ${name} as select :'note' as note, :'more' as more;`,
    };
    const { code, log } = await runJob(forge, files, { parameters: 'note=@db/1.sql\nmore=a=@@b\n' });
    expect(code, log).toBe(0);
    expect(await sql(database.url, `select * from ${name}`)).toEqual([{ note: '@db/1.sql', more: 'a=@@b' }]);
  });

  it('deploys as who its identity token says, where the Worker knows that', async () => {
    const tokens = {
      github: async () => ({ ACTIONS_ID_TOKEN_REQUEST_URL: `${issuer.origin}/runner?api-version=2.0`, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-runner' }),
      gitlab: async () => ({ WEFT_ID_TOKEN: await issuer.sign(gitlabClaims(issuer.origin, worker.origin, now())) }),
      azure: async () => ({ SYSTEM_OIDCREQUESTURI: `${issuer.origin}/azure/oidctoken` }),
    };
    const { code, log } = await runJob(forge, bundle(`keyless_${forge}`), { keyless: true }, await tokens[forge]());
    expect(code, log).toBe(0);
    expect(await sql(database.url, `select caller from weft.deployments where bundle = 'keyless_${forge}'`)).toEqual([{ caller: forge }]);
  });

  it('rehearses when it is told so', async () => {
    const { code, log } = await runJob(forge, bundle(`tried_${forge}`), { rehearse: true });
    expect(code, log).toBe(0);
    expect(log).toContain('Rehearsed.');
    expect(await sql(database.url, `select to_regclass('tried_${forge}') as made`)).toEqual([{ made: null }]);
  });

  it('ends with 3 when it waits for a second person, and well where it may wait: then it says for which deployment', async () => {
    const red = await runJob(forge, bundle(`asks_${forge}`), { guarded: { mayWait: false } });
    expect(red.code, red.log).toBe(3);
    const { code, log, output } = await runJob(forge, bundle(`waits_${forge}`), { guarded: { mayWait: true } });
    expect(code, log).toBe(0);
    const [{ id, digest }] = await sql(guarded.url, 'select deployment_id as id, digest from weft.approvals where bundle = $1', [`waits_${forge}`]);
    expect(log).toContain(`weft approve ${id} --digest ${digest}`);
    const handedOn = {
      github: `deployment=${id}\nstate=open\ndigest=${digest}\n`,
      gitlab: `WEFT_DEPLOYMENT=${id}\nWEFT_STATE=open\nWEFT_DIGEST=${digest}\n`,
      azure: [`weftDeployment;isOutput=true]${id}`, 'weftState;isOutput=true]open', `weftDigest;isOutput=true]${digest}`]
        .map((said) => `##vso[task.setvariable variable=${said}\n`)
        .join(''),
    };
    expect(output).toBe(handedOn[forge]);
  });

  it('is the same deployment when the forge runs the job once more', async () => {
    const files = bundle(`twice_${forge}`);
    const first = await runJob(forge, files);
    const second = await runJob(forge, files, {}, {}, first.run);
    expect([first.code, second.code], second.log).toEqual([0, 0]);
    expect(await sql(database.url, `select count(*)::int as count from weft.deployments where bundle = 'twice_${forge}'`)).toEqual([{ count: 1 }]);
  });
});

it.each(['github', 'gitlab'] as const)('%s: a job that is run once more with an id of its own is another deployment', async (forge) => {
  const files = bundle(`again_${forge}`, `select 1 from nowhere_${forge};`);
  const first = await runJob(forge, files);
  expect(first.code, first.log).toBe(1);
  await sql(database.url, `create table nowhere_${forge} (n int)`);
  expect((await runJob(forge, files, {}, {}, first.run)).code).toBe(1);
  const other = await runJob(forge, files, { id: `${first.run}-again` }, {}, first.run);
  expect(other.code, other.log).toBe(0);
});

describe('the files for pipelines', () => {
  const scripts: Readonly<Record<Forge, () => string>> = {
    github: () =>
      parse(read('action.yml'))
        .runs.steps.map(({ run }: { run?: string }) => run ?? '')
        .join('\n'),
    gitlab: () =>
      Object.values<{ script: string[] }>(parseAllDocuments(read('templates/gitlab.yml'))[1]?.toJS())
        .flatMap(({ script }) => script)
        .join('\n'),
    azure: () =>
      parse(read('templates/azure.yml'))
        .steps.map(({ bash }: { bash?: string }) => bash ?? '')
        .join('\n'),
  };

  it('put nothing that was given into a script', () => {
    for (const script of Object.values(scripts)) expect(script()).not.toMatch(/\$\{\{|\$\[\[|\$\(\w+\.\w+\)/);
  });

  it('name the version of this package', () => {
    expect(parse(read('action.yml')).inputs.version.default).toBe(packageFile.version);
    expect(parseAllDocuments(read('templates/gitlab.yml'))[0]?.toJS().spec.inputs.version.default).toBe(packageFile.version);
    expect(parse(read('templates/azure.yml')).parameters.find(({ name }: { name: string }) => name === 'version').default).toBe(packageFile.version);
  });
});
