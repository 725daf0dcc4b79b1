/**
 * Changesets as teams write them, made up from a seed: what the benchmarks deploy. The mix is the one with which other tools were measured:
 * each makes a table of six to ten columns that refers to earlier ones, its indexes, and changes to the table before; every second one
 * brings a view, every third a function and its trigger, every second (the others) twenty rows of reference data, half of those as twenty
 * statements. That is 11 to 12 statements and 1.4 KB each. Equal seeds make equal bytes.
 */
import type { InlineFile } from '../src/domain/request.ts';

export interface ChangesetsOptions {
  /** How many changesets. */
  readonly count: number;
  /** Into how many files they are joined (default: one each). What runs, and its size, stay the same to the byte. */
  readonly files?: number;
  readonly seed?: number;
}

export interface Changesets {
  /** In the order of their paths, which is the order in which they run. */
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** The same, one by one. */
  readonly statements: readonly string[];
  readonly bytes: number;
}

export const DEFAULT_SEED = 20260817;
/** Everything is made in this schema, by the first changeset. */
export const SCHEMA = 'trade';

const reference_rows_count = 20;
const NOUNS = [
  'order',
  'invoice',
  'parcel',
  'customer',
  'supplier',
  'contract',
  'ticket',
  'shipment',
  'payment',
  'product',
  'depot',
  'tariff',
  'route',
  'claim',
];
const COLUMNS = [
  ['label', 'text'],
  ['note', 'text'],
  ['amount', 'numeric(12, 2) not null default 0'],
  ['quantity', 'integer not null default 1'],
  ['is_active', 'boolean not null default true'],
  ['valid_from', 'date'],
  ['weight_grams', 'bigint'],
  ['attributes', "jsonb not null default '{}'"],
  ['external_key', 'uuid'],
  ['rating', 'double precision'],
] as const;

/**
 * Makes changesets.
 * @throws RangeError when there are fewer changesets than files
 */
export function makeChangesets({ count, files = count, seed = DEFAULT_SEED }: ChangesetsOptions): Changesets {
  if (files < 1 || files > count) throw new RangeError(`${count} changesets cannot be joined into ${files} files`);
  const chance = new Chance(seed);
  const tables: Table[] = [];
  const changesets = Array.from({ length: count }, (_, index) => writeChangeset(index, tables, chance));
  const digits = String(files).length;
  const joined = Array.from({ length: files }, (_, index) => {
    const some = changesets.slice(Math.floor((index * count) / files), Math.floor(((index + 1) * count) / files));
    return { path: `changes/${String(index + 1).padStart(digits, '0')}.sql`, content: some.map((statements) => `${statements.join('\n')}\n`).join('') };
  });
  return {
    files: joined,
    statements: changesets.flat(),
    bytes: joined.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0),
  };
}

/** The same files as a bundle's: with a bundle file that makes them one phase. */
export function asBundleFiles(changesets: Changesets, transaction: 'single' | 'per-step' | 'auto'): InlineFile[] {
  const bundleFile = `name: bench\nphases:\n  - name: changes\n    transaction: ${transaction}\n    steps:\n      - run: changes/*.sql\n`;
  return [{ path: 'weft.yaml', content: bundleFile }, ...changesets.files];
}

interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

/** One changeset, as its statements. Adds its table to those that later ones may refer to. */
function writeChangeset(index: number, tables: Table[], chance: Chance): string[] {
  const before = tables.at(-1);
  const name = `${chance.pick(NOUNS)}_${String(index + 1).padStart(4, '0')}`;
  const parents = chance.sample(tables, Math.min(tables.length, chance.between(1, 2)));
  const plain = chance.sample(COLUMNS, chance.between(6, 10) - 3 - parents.length);
  const table: Table = { name, columns: plain.map(([column]) => column) };
  const statements = index === 0 ? [`create schema ${SCHEMA};`] : [];

  statements.push(
    `create table ${SCHEMA}.${name} (`.concat(
      [
        'id bigint generated always as identity primary key',
        'code text not null unique',
        ...parents.map((parent) => `${parent.name}_id bigint references ${SCHEMA}.${parent.name} (id)`),
        ...plain.map(([column, type]) => `${column} ${type}`),
        'updated_at timestamptz not null default now()',
      ]
        .map((line) => `\n  ${line}`)
        .join(','),
      '\n);',
    ),
  );
  for (const parent of parents) statements.push(`create index on ${SCHEMA}.${name} (${parent.name}_id);`);
  if (chance.between(0, 3) > 0) statements.push(`create index on ${SCHEMA}.${name} (updated_at desc, code);`);
  if (before !== undefined) statements.push(...changeTable(before, index, chance));
  if (index % 2 === 0) {
    statements.push(
      `create view ${SCHEMA}.${name}_overview as\n  select t.id, t.code, t.updated_at, count(*) over () as total\n  from ${SCHEMA}.${name} as t\n  where t.updated_at > now() - interval '90 days';`,
    );
  }
  if (index % 3 === 0) statements.push(...writeTrigger(name));
  if (index % 2 === 1) statements.push(...writeReferenceData(table, index % 4 === 1, chance));
  tables.push(table);
  return statements;
}

function changeTable({ name }: Table, index: number, chance: Chance): string[] {
  const alter = `alter table ${SCHEMA}.${name}`;
  const changes = [
    `${alter} add column change_${index} text;`,
    `${alter} add constraint ${name}_code_is_short check (length(code) <= ${chance.between(40, 80)});`,
    `${alter} alter column updated_at set default clock_timestamp();`,
  ];
  return chance.sample(changes, chance.between(1, 3));
}

function writeTrigger(name: string): string[] {
  return [
    `create function ${SCHEMA}.touch_${name}() returns trigger language plpgsql as $body$
begin
  -- a semicolon; inside a body ends nothing
  if new is distinct from old then
    new.updated_at := now();
  end if;
  if new.code is null or length(new.code) = 0 then
    raise exception 'A row of ${name} needs a code; the row % has none.', new.id using errcode = 'check_violation';
  end if;
  return new;
end
$body$;`,
    `create trigger touch before update on ${SCHEMA}.${name} for each row execute function ${SCHEMA}.touch_${name}();`,
  ];
}

function writeReferenceData({ name, columns }: Table, asStatements: boolean, chance: Chance): string[] {
  const column = columns.find((one) => one === 'label' || one === 'note');
  const into = `insert into ${SCHEMA}.${name} (code${column === undefined ? '' : `, ${column}`}) values`;
  const rows = Array.from({ length: reference_rows_count }, (_, row) => {
    const code = `${chance.pick(NOUNS).slice(0, 3).toUpperCase()}-${String(row).padStart(3, '0')}`;
    return column === undefined ? `('${code}')` : `('${code}', 'it''s ${chance.pick(NOUNS)}')`;
  });
  return asStatements ? rows.map((row) => `${into} ${row};`) : [`${into}\n  ${rows.join(',\n  ')};`];
}

/** Pseudo-random numbers that a seed repeats (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 on, below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)] as T;
  }

  /** So many different ones, in the order in which they stand. */
  sample<T>(items: readonly T[], count: number): T[] {
    const places = new Set<number>();
    while (places.size < Math.min(count, items.length)) places.add(this.between(0, items.length - 1));
    return [...places].sort((a, b) => a - b).map((place) => items[place] as T);
  }
}
