/**
 * The files that the team of a walk writes: of each its path, its text and what takes it back, as they follow from what is known of it. A text depends on nothing
 * else, so that a history which was shortened writes the same files as the whole one.
 */

/** What runs once, in order. */
const ONCE = ['table', 'column', 'index', 'rows', 'update', 'retype', 'enum', 'list', 'anew', 'key', 'bound', 'gindex'] as const;
/** What runs again when it has changed. */
const CODE = ['view', 'function', 'trigger', 'matview', 'policy', 'mindex', 'gview'] as const;

export type Kind = (typeof ONCE)[number] | (typeof CODE)[number] | 'load' | 'batch' | 'apart' | 'check' | 'rights';

/** What a deployment is given from outside. */
export interface Values {
  readonly word: string;
  readonly count: number;
  /** Whether what stands under a condition runs. */
  readonly gate: 'open' | 'shut';
}

export interface File {
  readonly id: number;
  readonly kind: Kind;
  /** The files whose objects it uses: the first is the table, list or column that it is about. */
  readonly parents: readonly Parent[];
  /** How often its content was changed. */
  readonly version: number;
  /** How often it was renamed, and how often no more than its comments were changed. */
  readonly renamed: number;
  readonly reworded: number;
  /** Whether a statement in it fails. */
  readonly isBroken: boolean;
  /** Whether it was changed behind the back of a database that has applied it. */
  readonly isTampered: boolean;
  /** Views that stand in the way of a retype, when it was written. */
  readonly inTheWay: readonly number[];
  /** With what it has run. */
  readonly values?: Values | undefined;
}

export interface Parent {
  readonly id: number;
  readonly kind: Kind;
  /** Of a column: its table. */
  readonly of?: number | undefined;
}

/** Code that no other code uses. */
export const LATE: readonly Kind[] = ['trigger', 'matview', 'policy', 'mindex'];

/** What stands under a condition. */
export const isGated = ({ kind }: Pick<File, 'kind'>): boolean => kind === 'gindex' || kind === 'gview';

export const isOnce = ({ kind }: Pick<File, 'kind'>): boolean => (ONCE as readonly string[]).includes(kind);
export const isCode = ({ kind }: Pick<File, 'kind'>): boolean => (CODE as readonly string[]).includes(kind);
/** Runs again when its bytes are others. */
export const isRepeatable = (file: Pick<File, 'kind' | 'id'>): boolean => isCode(file) || (file.kind === 'load' && loadMode(file) === 'sync');
export const loadMode = ({ id }: Pick<File, 'id'>): 'sync' | 'insert' => (id % 3 === 0 ? 'insert' : 'sync');

export const ROOMS: Readonly<Record<Kind, string>> = {
  table: 'schema',
  column: 'schema',
  index: 'schema',
  rows: 'schema',
  update: 'schema',
  retype: 'schema',
  enum: 'schema',
  list: 'schema',
  anew: 'schema',
  key: 'schema',
  bound: 'schema',
  gindex: 'gated',
  gview: 'gcode',
  view: 'code',
  function: 'code',
  trigger: 'code',
  matview: 'code',
  policy: 'code',
  mindex: 'code',
  load: 'data',
  batch: 'fill',
  apart: 'apart',
  check: 'checks',
  rights: 'rights',
};

export function pathOf(file: File): string {
  const name = `${String(file.id).padStart(4, '0')}_${file.kind}${file.renamed === 0 ? '' : `_${file.renamed}`}`;
  return `${ROOMS[file.kind]}/${name}.${file.kind === 'load' ? 'csv' : 'sql'}`;
}

/** Of data the undo file is SQL too. */
export const undoPathOf = (file: File): string => `undo/${pathOf(file).replace(/csv$/, 'sql')}`;

/** Of some code the first content, of some the second ends with a statement that fails until somebody has opened the way by hand: with a large object of its number. */
export const isStuck = (file: Pick<File, 'id' | 'kind' | 'version'>): boolean =>
  isCode(file) && ((file.id % 10 === 3 && file.version === 1) || (file.id % 5 === 1 && file.version === 2));

export const openText = (id: number): string => `select lo_create(${id});`;

const guardText = (id: number): string => `\nselect 1 / (select count(*)::int from pg_largeobject_metadata where oid = ${id});`;

/** The relation that a file makes, or that holds what it makes. */
export function relationOf({ id, kind }: Pick<File, 'id' | 'kind'>): string {
  return `${kind === 'table' ? 't' : kind === 'list' ? 'l' : kind === 'view' ? 'v' : kind === 'matview' ? 'm' : kind === 'gview' ? 'w' : kind === 'function' ? 'f' : 'x'}${id}`;
}

/** Whether it drops what it makes before it makes it, instead of replacing it. */
export const dropsFirst = ({ id, kind, parents }: File): boolean =>
  kind === 'matview' || kind === 'gview' || (id % 2 === 0 && !(kind === 'function' && parents.length > 0));

/** Whether its text names parameters. */
const isGiven = ({ id }: Pick<File, 'id'>): boolean => id % 3 === 2;

/** What has run, as the server got it: parameters have their values. */
export function ranText(file: File): string {
  const { word, count } = file.values ?? NO_VALUES;
  return textOf(file).replaceAll(":'word'", `'${word}'`).replaceAll(':count', String(count));
}

export const NO_VALUES: Values = { word: 'none', count: 1, gate: 'open' };

/** Of a function that uses no view: the statement that replaces it by one with another body. */
export function bodyText({ id, version }: File, body: string): string {
  const type = id % 2 === 0 && version % 2 === 1 ? 'bigint' : 'int';
  return `create or replace function f${id}(x int) returns ${type} language sql as $$ select ${body}::${type} $$;`;
}

export function textOf(file: File): string {
  const words = file.reworded === 0 || file.kind === 'load' ? '' : `-- worded ${file.reworded} times\n`;
  const tampered = file.isTampered ? "\nselect 'tampered';" : '';
  return `${words}${file.isBroken ? brokenTextOf(file) : wholeTextOf(file)}${isStuck(file) ? guardText(file.id) : ''}${tampered}\n`;
}

function brokenTextOf(file: File): string {
  if (file.kind === 'load') return 'code,n\nbroken,no number';
  if (file.kind === 'check') return 'select 1';
  if (file.kind === 'batch') return wholeTextOf(file).replace('set c', 'set nowhere, c');
  return `${wholeTextOf(file)}\nselect 1 / 0;`;
}

function wholeTextOf(file: File): string {
  const { id, version } = file;
  const [parent] = file.parents;
  const on = parent === undefined ? '' : relationOf(parent);
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
  switch (file.kind) {
    case 'table':
      return `create table t${id} (id int primary key, a int not null default 0, b text);\ninsert into t${id} select g, g, 'row ' || g from generate_series(1, 5) as g;`;
    case 'list':
      return `create table l${id} (code text primary key, n int);`;
    case 'anew':
      return `drop table ${on}; create table ${on} (code text primary key, n int);`;
    case 'column':
      return `alter table ${on} add column c${id} int not null default ${id}${isGiven(file) ? ' + :count' : ''};`;
    case 'index':
      return `create index i${id} on ${on} (a);`;
    case 'rows':
      return `insert into ${on} (id, a, b) select ${id * 1000} + g, g, ${isGiven(file) ? ":'word'" : 'null'} from generate_series(1, 3) as g;`;
    case 'update':
      return `update ${on} set a = a + ${id}${isGiven(file) ? ' + :count' : ''};`;
    case 'key':
      return `alter table ${on} add column k${id} int references ${relationOf(file.parents[1] as Parent)};`;
    case 'bound':
      return `alter table ${on} add constraint q${id} check (a > -1000000);`;
    case 'retype': {
      const drops = file.inTheWay.map((view) => `drop view if exists v${view} cascade;\n`).join('');
      return `${drops}alter table ${on} alter column a type bigint using (a + 0 * ${id})::bigint;`;
    }
    case 'enum':
      return `create type e${id} as enum ('x', 'y');\nalter table ${on} add column e${id} e${id} default 'x';`;
    case 'view': {
      const functions = file.parents.filter(({ kind }) => kind === 'function').map((used) => `, f${used.id}(r.id) as f${used.id}`);
      const columns = dropsFirst(file)
        ? `, ${version} as w${version}`
        : range(1, version)
            .map((n) => `, ${n} as x${n}`)
            .join('');
      const query = `select r.id, r.a${isGiven(file) ? ", :'word'::text as word" : ''}${functions.join('')}${columns} from ${on} as r`;
      return dropsFirst(file) ? `drop view if exists v${id} cascade;\ncreate view v${id} as ${query};` : `create or replace view v${id} as ${query};`;
    }
    case 'matview':
      return `drop materialized view if exists m${id} cascade;\ncreate materialized view m${id} as select r.id, ${version}${isGiven(file) ? ' + :count' : ''} as n from ${on} as r;\ncreate index m${id}_id on m${id} (id);`;
    case 'gindex':
      return `create index z${id} on ${on} (a, id);`;
    case 'gview':
      return `drop view if exists w${id} cascade;\ncreate view w${id} as select r.id, ${version}${isGiven(file) ? ' + :count' : ''} as n from ${on} as r;`;
    case 'function': {
      if (parent?.kind === 'view')
        return `create or replace function f${id}(x int) returns bigint language sql begin atomic select count(*) + x + ${version} from ${on}; end;`;
      return `${dropsFirst(file) ? `drop function if exists f${id} cascade;\n` : ''}${bodyText(file, `(x + ${version})`)}`;
    }
    case 'trigger':
      return `create or replace function g${id}() returns trigger language plpgsql as $$ begin /* ${version} */ return new; end $$;
drop trigger if exists g${id} on ${on};
create trigger g${id} before ${version % 2 === 0 ? 'insert' : 'update'} on ${on} for each row execute function g${id}();`;
    case 'policy': {
      const uses = file.parents[1] === undefined ? '' : ` and f${file.parents[1].id}(id) is not null`;
      return `drop policy if exists p${id} on ${on};\ncreate policy p${id} on ${on} using (id > ${-version}${isGiven(file) ? ' - :count' : ''}${uses});`;
    }
    case 'mindex':
      return `drop index if exists y${id};\ncreate index y${id} on ${on} ((n + ${version}));`;
    case 'load':
      return `code,n\n${range(1, 4)
        .map((n) => `k${n + version},${n * 10 + (n === 4 ? 0 : version)}`)
        .join('\n')}`;
    case 'batch':
      return `update t${parent?.of} set c${parent?.id} = -1 where id in (select id from t${parent?.of} where c${parent?.id} <> -1 limit :size)`;
    case 'apart':
      return `create index concurrently ix${id} on ${on} (b);`;
    case 'check':
      return `select * from ${on} where a < ${-1_000_000 - version};`;
    case 'rights':
      return `grant select on all tables in schema public to public; -- ${version}`;
  }
}

/** Of which nothing else may be that goes with what they are on. */
const WITHOUT_UNDO: readonly Kind[] = ['table', 'index', 'bound', 'update', 'gindex', 'batch', 'view', 'function', 'policy', 'matview', 'mindex', 'gview'];

export const hasUndo = ({ id, kind }: File): boolean => kind !== 'check' && !(id % 7 === 4 && WITHOUT_UNDO.includes(kind));

/** Null where nothing takes it back. */
export function undoTextOf(file: File): string | null {
  return hasUndo(file) ? textOfUndo(file) : null;
}

function textOfUndo(file: File): string | null {
  const { id } = file;
  const [parent] = file.parents;
  const on = parent === undefined ? '' : relationOf(parent);
  switch (file.kind) {
    case 'table':
    case 'list':
      return `drop table ${relationOf(file)};`;
    case 'anew':
      return wholeTextOf(file);
    case 'column':
      return `alter table ${on} drop column c${id};`;
    case 'index':
      return `drop index if exists i${id};`;
    case 'rows':
      return `delete from ${on} where id between ${id * 1000} and ${id * 1000 + 999};`;
    case 'update':
      return `update ${on} set a = a - ${id}${isGiven(file) ? ' - :count' : ''};`;
    case 'key':
      return `alter table ${on} drop column k${id};`;
    case 'bound':
      return `alter table ${on} drop constraint q${id};`;
    case 'retype':
      return wholeTextOf(file).replaceAll('bigint', 'int');
    case 'enum':
      return `alter table ${on} drop column e${id};\ndrop type e${id};`;
    case 'view':
      return `drop view if exists v${id}${id % 3 === 0 ? '' : ' cascade'};`;
    case 'gindex':
      return `drop index if exists z${id};`;
    case 'gview':
      return `drop view if exists w${id};`;
    case 'matview':
      return `drop materialized view if exists m${id};`;
    case 'function':
      return `drop function if exists f${id}${id % 3 === 0 ? '' : ' cascade'};`;
    case 'trigger':
      return `drop function if exists g${id} cascade;`;
    case 'policy':
      return `drop policy if exists p${id} on ${on};`;
    case 'mindex':
      return `drop index if exists y${id};`;
    case 'load':
      return `delete from ${on};`;
    case 'batch':
      return `update t${parent?.of} set c${parent?.id} = default;`;
    case 'apart':
      return `drop index concurrently if exists ix${id};`;
    case 'rights':
      return 'revoke select on all tables in schema public from public;';
    case 'check':
      return null;
  }
}
