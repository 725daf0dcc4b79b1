import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dialectOf, type Mark } from '../../src/cli/dialects.ts';
import type { Io } from '../../src/cli/io.ts';
import { renderJunit, renderProblemJunit } from '../../src/cli/junit.ts';
import { renderMarkdown } from '../../src/cli/markdown.ts';
import { type Pipeline, pipelineOf } from '../../src/cli/pipeline.ts';
import type { DeploymentError } from '../../src/domain/deployment.ts';
import { ID, makeDeployment, makePhase, makeStep } from './deployments.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

const ENVIRONMENTS = { github: { GITHUB_ACTIONS: 'true' }, gitlab: { GITLAB_CI: 'true' }, azure: { TF_BUILD: 'True' } } as const;
const ERROR: DeploymentError = { sqlstate: '42601', message: 'syntax error at or near "tabel"', phase: 'schema', path: 'sql/2.sql', line: 7, character: 8 };
const FAILED = makeDeployment({
  state: 'failed',
  error: ERROR,
  phases: [{ ...makePhase('schema', 'per-step', 'failed', { done: 1 }), steps: [makeStep('sql/1.sql', 'succeeded'), makeStep('sql/2.sql', 'failed', ERROR)] }],
});

function dialect(name: keyof typeof ENVIRONMENTS): NonNullable<ReturnType<typeof dialectOf>> {
  const found = dialectOf(ENVIRONMENTS[name]);
  if (found === null) throw new Error(`no dialect ${name}`);
  return found;
}

interface Job {
  readonly pipeline: Pipeline;
  readonly lines: () => string[];
}

function job(env: Io['env']): Job {
  let text = '';
  const sink = {
    write: (more: string) => {
      text += more;
    },
  };
  const pipeline = pipelineOf({ env, stdout: sink, stderr: sink, isTTY: false, columns: 80, signal: new AbortController().signal, folder: '/checkout' });
  if (pipeline === null) throw new Error('no pipeline');
  return { pipeline, lines: () => text.split('\n') };
}

describe('a log of a forge', () => {
  it('is recognised by the variables that the forge sets', () => {
    expect([{}, ...Object.values(ENVIRONMENTS)].map((env) => dialectOf(env)?.name ?? null)).toEqual([null, 'github', 'gitlab', 'azure']);
    expect(dialectOf({ GITHUB_ACTIONS: 'false', TF_BUILD: '' })).toBe(null);
  });

  it('begins and ends groups as each forge reads them', () => {
    const [begun, ended] = [1_700_000_000_500, 1_700_000_009_500];
    const groups = (['github', 'gitlab', 'azure'] as const).map((name) => [dialect(name).begin('weft_1', 'schema', begun), dialect(name).end('weft_1', ended)]);
    expect(groups).toEqual([
      ['::group::schema', '::endgroup::'],
      ['\u001b[0Ksection_start:1700000000:weft_1\r\u001b[0Kschema', '\u001b[0Ksection_end:1700000009:weft_1\r\u001b[0K'],
      ['##[group]schema', '##[endgroup]'],
    ]);
  });

  it('marks a file and line, whatever characters are in the message', () => {
    const mark: Mark = { level: 'error', title: 'a,b:c;d]e', message: '100 % of\ntwo; lines]', file: 'db/a,b;c.sql', line: 7, column: 8 };
    expect(dialect('github').mark?.(mark)).toBe('::error file=db/a%2Cb;c.sql,line=7,col=8,title=a%2Cb%3Ac;d]e::100 %25 of%0Atwo; lines]');
    expect(dialect('azure').mark?.(mark)).toBe(
      '##vso[task.logissue type=error;sourcepath=db/a,b%3Bc.sql;linenumber=7;columnnumber=8]a,b:c;d]e: 100 %AZP25 of%0Atwo; lines]',
    );
  });

  it('obeys nothing that comes from a file, a server or a database', () => {
    const hostile = 'x\n::set-output name=a::b\n  ::stop-commands::t\ny ##[command]z ##vso[task.setvariable variable=a]b ##VSO[x]\nsection_start:1:a';
    for (const name of ['github', 'gitlab', 'azure'] as const) {
      const { pipeline, lines } = job(ENVIRONMENTS[name]);
      pipeline.io.stdout.write(hostile);
      pipeline.io.stderr.write(hostile);
      const shown = lines().join('\n');
      if (name === 'github') expect(shown).not.toMatch(/^\s*::|##\[/m);
      if (name === 'azure') expect(shown).not.toMatch(/##(?:vso)?\[/i);
      if (name === 'gitlab') expect(shown).not.toMatch(/section_(?:start|end):/);
      expect(shown.replaceAll('\u2060', '')).toBe(hostile + hostile);
    }
  });

  it('gets a document that reads as before', () => {
    const document = { path: 'a ##[x] ##vso[y] section_start:1', at: '::x' };
    const text = JSON.stringify(document, null, 2);
    for (const name of ['github', 'gitlab', 'azure'] as const) {
      expect(JSON.parse(dialect(name).defuseJson(text))).toEqual(document);
      expect(dialect(name).defuse(dialect(name).defuseJson(text))).toBe(dialect(name).defuseJson(text));
      if (name !== 'gitlab') expect(dialect(name).defuseJson(text)).not.toMatch(name === 'github' ? /##\[/ : /##(?:vso)?\[/);
    }
  });
});

describe('the end of a deployment in a pipeline', () => {
  it('is a mark on the file, seen from the root of the checkout', () => {
    const { pipeline, lines } = job({ ...ENVIRONMENTS.github, GITHUB_WORKSPACE: '/checkout' });
    pipeline.conclude(FAILED, 'db', 'Failed.');
    expect(lines()).toContain('::error file=db/sql/2.sql,line=7,col=8,title=sql/2.sql%3A7::42601: syntax error at or near "tabel"');
  });

  it('names no file that is not in the checkout', () => {
    for (const folder of ['../elsewhere', '/tmp/bundle', null]) {
      const { pipeline, lines } = job({ ...ENVIRONMENTS.github, GITHUB_WORKSPACE: '/checkout' });
      pipeline.conclude(FAILED, folder, 'Failed.');
      expect(lines()[0]).toMatch(/^::error title=sql\/2\.sql%3A7::42601/);
    }
  });

  it('is a warning where the failure is tolerated', () => {
    const { pipeline, lines } = job({ ...ENVIRONMENTS.azure, BUILD_SOURCESDIRECTORY: '/checkout' });
    pipeline.conclude({ ...FAILED, state: 'degraded', error: null }, 'db', 'Degraded.');
    expect(lines()[0]).toMatch(/^##vso\[task\.logissue type=warning;sourcepath=db\/sql\/2\.sql;linenumber=7;columnnumber=8\]sql\/2\.sql:7: 42601/);
  });

  it('goes into the summary of the run, and its id and state into the outputs', () => {
    const folder = makeFolder({});
    const [summary, output] = [join(folder, 'summary'), join(folder, 'output')];
    const { pipeline } = job({ ...ENVIRONMENTS.github, GITHUB_STEP_SUMMARY: summary, GITHUB_OUTPUT: output });
    pipeline.conclude(FAILED, 'db', 'Failed. shop stopped.');
    expect(readFileSync(summary, 'utf8')).toContain('Failed. shop stopped.');
    expect(readFileSync(output, 'utf8')).toBe(`deployment=${ID}\nstate=failed\n`);
  });

  it('does not become another one when a summary cannot be written', () => {
    const { pipeline, lines } = job({ ...ENVIRONMENTS.github, GITHUB_STEP_SUMMARY: '/nowhere/at/all' });
    pipeline.conclude(FAILED, 'db', 'Failed.');
    expect(lines().at(-2)).toMatch(/^warning: the pipeline's file \/nowhere\/at\/all could not be written: ENOENT/);
  });

  it('is said of a command that never came to a deployment, too', async () => {
    const folder = makeFolder({});
    const [summary, report] = [join(folder, 'summary'), join(folder, 'report.xml')];
    const env = { ...ENVIRONMENTS.github, GITHUB_STEP_SUMMARY: summary };
    const { code, stderr } = await run(['deploy', join(folder, 'missing'), '--database', 'postgres://a:b@127.0.0.1:1/c', '--junit', report], { env });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^::error title=weft%3A .*::/);
    expect(readFileSync(summary, 'utf8')).toContain('missing');
    expect(readFileSync(report, 'utf8')).toContain('<testsuite name="weft" tests="1" failures="1">');
  });
});

describe('the summary', () => {
  it('has a row for each phase, and the words of the end as they stand on a terminal', () => {
    expect(renderMarkdown(FAILED, 'Failed. shop stopped.')).toMatchInlineSnapshot(`
      "### ❌ shop: failed

      | phase | transaction | state | steps | time |
      |---|---|---|---|---|
      | schema | per-step | ❌ failed | 1 succeeded, 1 failed |  |

      \`\`\`text
      Failed. shop stopped.
      \`\`\`

      Deployment \`0190a0de-0000-7000-8000-000000000001\`
      "
    `);
  });

  it('cannot be ended or dressed by a name or by words of a server', () => {
    const bundle = '[x](https://evil.example) <img> @everyone | `a`';
    const markdown = renderMarkdown(makeDeployment({ state: 'failed', bundle }), 'a\n```\n# not a title\n````\nb');
    expect(markdown).toContain('`````text\na\n```\n# not a title\n````\nb\n`````');
    expect(markdown.split('\n')[0]).not.toMatch(/[[\]<>@|`]/);
  });
});

describe('the JUnit report', () => {
  it('has a testcase for each step, and says which one stopped it', () => {
    expect(renderJunit([{ deployment: FAILED, words: 'Failed. shop stopped.' }])).toMatchInlineSnapshot(`
      "<?xml version="1.0" encoding="UTF-8"?>
      <testsuites name="weft shop">
        <testsuite name="schema" tests="2" failures="1" skipped="0" time="0.000">
          <testcase classname="schema" name="sql/1.sql" time="0.012"/>
          <testcase classname="schema" name="sql/2.sql" time="0.012"><failure message="42601: syntax error at or near &#34;tabel&#34;">Failed. shop stopped.</failure></testcase>
        </testsuite>
      </testsuites>
      "
    `);
  });

  it('shows the step that an all-or-nothing phase stopped at as the one that failed', () => {
    const phases = [{ ...makePhase('schema', 'single', 'failed', {}), steps: [makeStep('sql/1.sql', 'pending'), makeStep('sql/2.sql', 'pending')] }];
    expect(renderJunit([{ deployment: { ...FAILED, phases }, words: 'w' }])).toContain('<testsuite name="schema" tests="2" failures="1" skipped="1"');
  });

  it('is a document, whatever is in the words', () => {
    const report = renderProblemJunit('a\u0000\u001b[31m<&">\ud800 ]]> \ufffe');
    expect(report).toContain('&#60;&#38;&#34;&#62;\ufffd ]]&#62; \ufffd');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(report).not.toMatch(/[\u0000-\u0008\u000b-\u001f\ufffe]/);
  });
});
