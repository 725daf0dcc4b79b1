/**
 * Who may know whom: the import floors of src/. A room uses the rooms below it and the packages that are its business; what runs in
 * workerd as well as in Node uses nothing that only Node has. ARCHITECTURE.md says the same in words.
 */
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesIn, read } from './house.ts';

interface Room {
  /** The rooms that it may use beside itself. */
  readonly uses: readonly string[];
  readonly packages: readonly string[];
  /** Modules of Node that it may use; null: all of them, because it never runs in workerd. */
  readonly node: readonly string[] | null;
}

/** What nodejs_compat gives to workerd, as far as it is needed. */
const BOTH = ['node:buffer', 'node:crypto'];

const ROOMS: Readonly<Record<string, Room>> = {
  domain: { uses: [], packages: ['zod'], node: [] },
  config: { uses: ['domain'], packages: ['zod'], node: [] },
  bundle: { uses: ['domain'], packages: ['zod', 'yaml', 'modern-tar'], node: [...BOTH, 'node:zlib'] },
  trust: { uses: ['domain', 'config'], packages: ['jose', 'zod'], node: [] },
  database: { uses: ['domain', 'config'], packages: ['zod', 'pg', '@neondatabase/serverless', 'cloudflare:workers'], node: BOTH },
  deployment: { uses: ['domain', 'bundle', 'database'], packages: [], node: [] },
  forges: { uses: ['domain', 'config', 'bundle', 'trust'], packages: ['zod'], node: BOTH },
  operations: { uses: ['domain', 'config', 'bundle', 'trust', 'database', 'deployment', 'forges'], packages: [], node: [] },
  words: { uses: ['domain'], packages: [], node: [] },
  http: {
    uses: ['domain', 'config', 'bundle', 'trust', 'database', 'deployment', 'forges', 'operations', 'words'],
    packages: ['hono', 'zod'],
    node: [...BOTH, 'node:util'],
  },
  worker: {
    uses: ['domain', 'config', 'bundle', 'trust', 'database', 'deployment', 'forges', 'operations', 'http'],
    packages: ['hono', '@cloudflare/workers-types', 'cloudflare:workers'],
    node: BOTH,
  },
  cli: { uses: ['domain', 'config', 'bundle', 'trust', 'database', 'deployment', 'words'], packages: ['zod'], node: null },
  dev: { uses: ['domain', 'config', 'words', 'cli'], packages: ['esbuild', 'miniflare', 'pg', 'ws'], node: null },
};

/** Files that may use what their room may not. */
const NODE_FILES: readonly string[] = ['src/bundle/folder.ts', 'src/database/engine_text_node.ts'];

/** Imports of package.json: what a name beginning with "#" stands for, by condition. */
const CONDITIONAL = (JSON.parse(read('package.json')) as { imports: Readonly<Record<string, Readonly<Record<string, string>>>> }).imports;

interface Import {
  readonly file: string;
  readonly line: number;
  readonly from: string;
}

function importsOf(file: string): Import[] {
  const text = read(file);
  const found = [
    ...text.matchAll(/^(?:import|export)\b[^;'"`]*?\bfrom '([^']+)'/gm),
    ...text.matchAll(/^import '([^']+)'/gm),
    ...text.matchAll(/\bimport\('([^']+)'\)/g),
  ];
  return found.flatMap((match) => {
    const from = match[1] ?? '';
    const targets = from.startsWith('#') ? Object.values(CONDITIONAL[from] ?? {}).map((target) => `./${posix.relative(posix.dirname(file), target)}`) : [from];
    return targets.map((target) => ({ file, line: text.slice(0, match.index).split('\n').length, from: target }));
  });
}

const FILES = filesIn('src').filter((file) => !file.startsWith('src/database/assets/'));
const IMPORTS = FILES.flatMap(importsOf);
const roomOf = (file: string): string => file.split('/')[1] ?? '';
const packageOf = (from: string): string => from.split('/', from.startsWith('@') ? 2 : 1).join('/');

/** `file:line: what` of each import that is not allowed. */
function offences(isWrong: (one: Import, room: Room) => string | null): string[] {
  return IMPORTS.flatMap((one) => {
    const room = ROOMS[roomOf(one.file)];
    const what = room === undefined ? null : isWrong(one, room);
    return what === null ? [] : [`${one.file}:${one.line}: ${what}`];
  });
}

describe('the import floors of src/', () => {
  test('hold imports to look at', () => {
    expect(IMPORTS.length).toBeGreaterThan(300);
    expect(IMPORTS.some(({ from }) => from === './commands/deploy.ts')).toBe(true); // loaded when it is called
  });

  test('every folder is a room', () => {
    expect([...new Set(FILES.map(roomOf))].sort()).toEqual(Object.keys(ROOMS).sort());
  });

  test('no room uses a room above it', () => {
    const wrong = offences(({ file, from }, room) => {
      if (!from.startsWith('.')) return null;
      const target = posix.join(posix.dirname(file), from);
      if (target === 'package.json') return null;
      const used = roomOf(target);
      return used === roomOf(file) || room.uses.includes(used) ? null : `${roomOf(file)}/ may not use ${used}/ (${from})`;
    });
    expect(wrong).toEqual([]);
  });

  test('each package is the business of a few rooms', () => {
    const wrong = offences(({ from }, room) => {
      if (/^(?:\.|node:)/.test(from)) return null;
      return room.packages.includes(packageOf(from)) ? null : `"${packageOf(from)}" is none of the packages of this room (${room.packages.join(', ')})`;
    });
    expect(wrong).toEqual([]);
  });

  test('what runs in workerd too uses nothing that only Node has', () => {
    const wrong = offences(({ file, from }, room) => {
      if (!from.startsWith('node:') || room.node === null || NODE_FILES.includes(file)) return null;
      return room.node.includes(from) ? null : `${from} is not there in workerd, or not needed; this room may use ${room.node.join(', ') || 'none'}`;
    });
    expect(wrong).toEqual([]);
  });

  test('nothing that runs in workerd imports the one file of bundle/ that reads folders', () => {
    const wrong = IMPORTS.filter(({ file, from }) => from.endsWith('bundle/folder.ts') && !['cli', 'dev'].includes(roomOf(file)));
    expect(wrong).toEqual([]);
  });

  test('SQL is spoken in database/ alone (and in dev/, which makes roles and databases)', () => {
    const sql = /[`'"](?:select|insert into|update|delete from|call|create (?:table|role|database|schema)|drop|alter) [a-z_.("]/;
    const rooms = Object.keys(ROOMS).filter((room) => room !== 'database' && room !== 'dev');
    const lines = FILES.filter((file) => rooms.includes(roomOf(file))).flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, index) => (sql.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
    );
    expect(lines).toEqual([]);
  });

  test('the engine is called by its public names; only its installation knows the others', () => {
    const callers = FILES.filter((file) => roomOf(file) === 'database' && file !== 'src/database/install.ts');
    expect(callers.filter((file) => /\bweft\._/.test(read(file)))).toEqual([]);
  });

  test('the web is asked from one place of the Worker, for the keys of issuers and for forges', () => {
    const asks = /(?<![.#\w])(?:globalThis\.)?fetch\((?!\w+: )|\bXMLHttpRequest\b|\bEventSource\(/g;
    const places = FILES.filter((file) => !['cli', 'dev'].includes(roomOf(file))).flatMap((file) =>
      Array.from(
        read(file)
          .replace(/\/\*\*[\s\S]*?\*\//g, '')
          .matchAll(asks),
        () => file,
      ),
    );
    expect(places).toEqual(['src/worker/set_up.ts', 'src/worker/set_up.ts']);
    expect(
      read('src/worker/set_up.ts')
        .match(/^.*\bfetch\(.*$/gm)
        ?.map((line) => /(connectForges|createIssuerKeys)\(/.exec(line)?.[1]),
    ).toEqual(['connectForges', 'createIssuerKeys']);
  });
});
