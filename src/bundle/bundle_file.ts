/**
 * The bundle file, `weft.yaml`: its language, and a reader that reports every mistake with its line. Which files the
 * steps mean is for `resolve.ts`.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, visit } from 'yaml';
import * as z from 'zod';
import { LIMITS } from '../domain/limits.ts';
import { nameSchema, orderSchema, roleSchema, settingNameSchema, settingsSchema, transactionSchema } from '../domain/manifest.ts';
import type { Parameter } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { Unwatched } from '../domain/unwatched.ts';
import { findNearest } from './order.ts';
import { PARAMETER_WORDS, writtenParametersSchema } from './parameter_words.ts';
import { durationSchema, expressionSchema, onErrorSchema, type WrittenStep, wordsOf, writtenCheckSchema, writtenStepSchema } from './step_words.ts';
import { TextCheck } from './text.ts';
import { DRIFT_WORDS, writtenDriftSchema } from './unwatched_words.ts';

/** The name of the bundle file, at the root of its folder. */
export const BUNDLE_FILE = 'weft.yaml';

/** YAML reads numbers and "on" and "off" as values of its own; PostgreSQL takes their text. */
const settingValueSchema = z.union([z.boolean().transform((value) => (value ? 'on' : 'off')), z.number().transform(String), z.string()]);

/** The session in which each file begins: in the file for all phases, in a phase for its own, which wins. */
const sessionShape = {
  role: roleSchema.optional(),
  settings: z.record(settingNameSchema, settingValueSchema).pipe(settingsSchema).optional(),
};

const lockWaitSchema = durationSchema('1ms', '1h');

const lockTimeoutsSchema = z
  .strictObject({ default: lockWaitSchema, table: lockWaitSchema, index: lockWaitSchema, data: lockWaitSchema, concurrently: lockWaitSchema })
  .partial();
type LockTimeouts = z.infer<typeof lockTimeoutsSchema>;

/** One for all statements, or one for each kind of them. */
const lockTimeoutSchema = z.unknown().transform((value, context): LockTimeouts => {
  const parsed = isRecord(value) ? lockTimeoutsSchema.safeParse(value) : lockWaitSchema.transform((ms) => ({ default: ms })).safeParse(value);
  if (parsed.success) return parsed.data;
  context.issues.push(...parsed.error.issues.map((issue) => ({ ...issue, input: value }) as z.core.$ZodRawIssue));
  return z.NEVER;
});

const phaseSchema = z.strictObject({
  name: nameSchema,
  transaction: transactionSchema.default('auto'),
  lock_timeout: lockTimeoutSchema.optional(),
  /** If it is not true when the phase begins, none of its steps runs. */
  when: expressionSchema.optional(),
  ...sessionShape,
  /** For each of its steps that does not say otherwise. */
  on_error: onErrorSchema.optional(),
  /** None where there are checks: then the phase does nothing but look. */
  steps: z.array(writtenStepSchema).optional(),
  /** Run after the steps. */
  checks: z.array(writtenCheckSchema).default([]),
});

const phaseWithStepsSchema = phaseSchema.superRefine(({ steps, checks }, context) => {
  if (steps === undefined && checks.length === 0) context.addIssue({ code: 'invalid_type', expected: 'array', path: ['steps'] });
  if (steps?.length === 0) context.addIssue({ code: 'too_small', origin: 'array', minimum: 1, path: ['steps'] });
});

/** weft.yaml, as this version has it. */
export const bundleFileSchema = z.strictObject({
  name: nameSchema,
  /** What happens to a new file whose place is before one that was applied. */
  order: orderSchema.default('any'),
  /** What a deployment can or must be given, by name. */
  parameters: writtenParametersSchema.optional(),
  /** Objects whose changes are no drift. */
  drift: writtenDriftSchema.optional(),
  ...sessionShape,
  phases: z.array(phaseWithStepsSchema).min(1).max(LIMITS.phases_count),
});

export interface BundleFileStep extends WrittenStep {
  /** Its line in weft.yaml, counted from 1. */
  readonly line: number;
}

export interface BundleFilePhase {
  readonly name: string;
  readonly transaction: z.infer<typeof transactionSchema>;
  readonly lock_timeout_ms: number | null;
  /** By kind of statement, where it differs; null if it differs for none. */
  readonly lock_timeouts_ms: Omit<LockTimeouts, 'default'> | null;
  readonly when: string | null;
  /** The phase's own, or the file's. */
  readonly role: string | null;
  /** The file's settings, overridden by the phase's. */
  readonly settings: Readonly<Record<string, string>>;
  /** Its steps, followed by its checks. */
  readonly steps: readonly BundleFileStep[];
}

export interface BundleFile {
  readonly name: string;
  readonly order: z.infer<typeof orderSchema>;
  /** In the order of the file. */
  readonly parameters: readonly Parameter[];
  /** Objects that something else manages. */
  readonly unwatched: readonly Unwatched[];
  readonly phases: readonly BundleFilePhase[];
}

/**
 * Reads a bundle file.
 * @param bytes of weft.yaml
 * @throws Problem too_large (bundle_file_bytes) · not_utf8 · invalid_bundle with file, line and column, for what is not YAML 1.2 or
 * not the language
 */
export function parseBundleFile(bytes: Uint8Array): BundleFile {
  if (bytes.length > LIMITS.bundle_file_bytes) throw bundleFileTooLarge();
  const check = new TextCheck(BUNDLE_FILE);
  check.push(bytes);
  check.end();
  const document = readDocument(new TextDecoder().decode(bytes));
  const parsed = bundleFileSchema.safeParse(document.value);
  if (!parsed.success) throw explain(document, parsed.error.issues);
  refuseLostDigits(document, parsed.data);
  const { name, order, parameters = [], drift, role, settings, phases } = parsed.data;
  const lines = new Map<string, number>();
  for (const [index, phase] of phases.entries()) {
    const place = document.locate(['phases', index, 'name']);
    const earlier = lines.get(phase.name);
    if (earlier !== undefined) throw invalid(place, `a phase called "${phase.name}" stands in line ${earlier} already`);
    lines.set(phase.name, place.line);
  }
  return {
    name,
    order,
    parameters,
    unwatched: drift?.ignore ?? [],
    phases: phases.map((phase, index) => ({
      name: phase.name,
      transaction: phase.transaction,
      ...lockTimeoutsOf(phase.lock_timeout ?? {}),
      when: phase.when ?? null,
      role: phase.role ?? role ?? null,
      settings: { ...settings, ...phase.settings },
      steps: [
        ...(phase.steps ?? []).map(({ kind, glob, words: { on_error = phase.on_error, ...words } }, position) => ({
          kind,
          glob,
          words: { ...words, ...(on_error === 'continue' && { on_error }) },
          line: document.locate(['phases', index, 'steps', position, kind]).line,
        })),
        ...phase.checks.map((check, position) => ({ ...check, line: document.locate(['phases', index, 'checks', position]).line })),
      ],
    })),
  };
}

/** Where text is meant, YAML's number is another text than the one that was written: 1.10 is 1.1, 007 is 7. */
function refuseLostDigits(document: YamlText, { parameters = [], phases }: z.infer<typeof bundleFileSchema>): void {
  const settings = [[], ...phases.map((_, index) => ['phases', index])].map((path) => [...path, 'settings']);
  const asText = parameters.filter(({ type }) => type !== 'integer' && type !== 'bigint' && type !== 'boolean');
  const paths: Path[] = [
    ...settings.flatMap((path) => Object.keys(valueAt(document.value, path) ?? {}).map((key) => [...path, key])),
    ...asText.map(({ name }) => ['parameters', name, 'default']),
  ];
  for (const path of paths) {
    const value = valueAt(document.value, path);
    const source = document.sourceOf(path);
    const isRead = typeof value === 'number' || (typeof value === 'boolean' && path[0] === 'parameters');
    if (!isRead || source === null || source === String(value)) continue;
    const name = path.at(-1) === 'default' ? `the default of "${String(path.at(-2))}"` : nameOf(path);
    throw invalid(document.locate(path), `${name} must be in quotes: YAML reads ${source} as ${String(value)}`);
  }
}

function lockTimeoutsOf({ default: all, ...kinds }: LockTimeouts): Pick<BundleFilePhase, 'lock_timeout_ms' | 'lock_timeouts_ms'> {
  return { lock_timeout_ms: all ?? null, lock_timeouts_ms: Object.keys(kinds).length === 0 ? null : kinds };
}

export function bundleFileTooLarge(): Problem {
  const detail = `${BUNDLE_FILE} is larger than ${LIMITS.bundle_file_bytes} bytes (bundle_file_bytes).`;
  return new Problem('too_large', detail, { file: BUNDLE_FILE, limit: 'bundle_file_bytes' });
}

/** An invalid_bundle that says where in weft.yaml: what `resolve.ts` finds wrong with a step, say. */
export function invalidAt(line: number, what: string): Problem {
  return new Problem('invalid_bundle', `${BUNDLE_FILE}, line ${line}: ${sentence(what)}`, { file: BUNDLE_FILE, line });
}

/** A place in the file, both counted from 1. */
interface Place {
  readonly line: number;
  readonly column: number;
}

type Path = readonly PropertyKey[];

interface YamlText {
  readonly value: unknown;
  /** The place of a value, or of the nearest existing thing around it. */
  locate(path: Path): Place;
  /** A scalar as it is written, without what is around it; null if there is none. */
  sourceOf(path: Path): string | null;
  /** The place of a key. */
  locateKey(path: Path, key: string): Place;
}

function readDocument(text: string): YamlText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, version: '1.2', strict: true, uniqueKeys: true, prettyErrors: false });
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong?.code === 'MULTIPLE_DOCS') throw invalid(placeOf(wrong.pos[0]), 'a second document begins here, and a bundle file is one', wrong);
  if (wrong !== undefined) throw invalid(placeOf(wrong.pos[0]), `this is not valid YAML: ${wrong.message.replace(/\.?\s*$/, '')}`, wrong);
  visit(document, {
    Scalar(_, { value, range }) {
      if (typeof value === 'string' && value.includes('\0')) throw invalid(placeOf(range?.[0] ?? 0), 'this text has a NUL in it, and PostgreSQL takes none');
    },
  });
  const root = document.contents;
  const findNode = (path: Path): Node | null => {
    let node: Node | null = root;
    for (const key of path) {
      const below: unknown = isMap(node) || isSeq(node) ? node.get(key, true) : undefined;
      const next: unknown = isAlias(below) ? below.resolve(document) : below;
      if (!isScalar(next) && !isMap(next) && !isSeq(next)) break;
      node = next;
    }
    return node;
  };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const [, missing] = /^Unresolved alias.*: (.*)$/s.exec(error instanceof Error ? error.message : '') ?? [];
    visit(document, {
      Alias(_, { source, range }) {
        if (source !== missing) return;
        throw invalid(
          placeOf(range?.[0] ?? 0),
          `"*${source}" refers to an anchor, and there is none of that name; a text that begins with * needs quotes around it`,
          error,
        );
      },
    });
    throw invalid(placeOf(0), 'its aliases (*name) make it far larger than it looks; write the values out', error);
  }
  return {
    value,
    locate: (path) => placeOf(findNode(path)?.range?.[0] ?? 0),
    sourceOf: (path) => {
      const node = findNode(path);
      return isScalar(node) ? (node.source ?? null) : null;
    },
    locateKey: (path, key) => {
      const map = findNode(path);
      const pair = isMap(map) ? map.items.find((item: Pair) => isScalar(item.key) && String(item.key.value) === key) : undefined;
      return placeOf((isScalar(pair?.key) ? pair.key.range?.[0] : map?.range?.[0]) ?? 0);
    },
  };
}

/** One problem out of all that zod found: the first in the file leads, with its line; the others follow it. */
function explain(document: YamlText, issues: readonly z.core.$ZodIssue[]): Problem {
  // Whoever misspells a key also lacks it: the misspelling is what helps.
  const unknown = issues.filter((issue) => issue.code === 'unrecognized_keys');
  const found = (unknown.length > 0 ? unknown : issues).flatMap((issue) => explainIssue(document, issue));
  found.sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column);
  const [first, ...others] = found;
  if (first === undefined) return invalid({ line: 1, column: 1 }, 'it does not have the form of a bundle file');
  const more = others.slice(0, 4).map(({ place, what }) => ` Line ${place.line}: ${sentence(what)}`);
  const problem = invalid(first.place, first.what);
  return new Problem('invalid_bundle', problem.message + more.join(''), problem.facts);
}

function explainIssue(document: YamlText, issue: z.core.$ZodIssue): { place: Place; what: string }[] {
  const place = document.locate(issue.path);
  const name = nameOf(issue.path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ place: document.locateKey(issue.path, key), what: explainKey(document.value, issue.path, key) }));
    case 'invalid_type': {
      const value = valueAt(document.value, issue.path);
      if (value === undefined && issue.path.length > 0) return [{ place, what: `${name} is missing` }];
      if (issue.path.length === 0) return [{ place, what: `it must hold "name" and "phases", and is ${kindOf(value)}` }];
      // What YAML has read as a value of its own may have been meant as text.
      const isRead = typeof value === 'number' || typeof value === 'boolean';
      const hint =
        issue.expected === 'object' ? `, such as ${exampleAt(issue.path)}` : issue.expected === 'string' && isRead ? '; if it is one, put it in quotes' : '';
      return [{ place, what: `${name} must be ${KINDS[issue.expected] ?? issue.expected}, and is ${kindOf(value)}${hint}` }];
    }
    case 'invalid_value': {
      const value = String(valueAt(document.value, issue.path));
      const nearest = findNearest(value, issue.values.map(String));
      return [{ place, what: `${name} must be one of ${issue.values.join(', ')}, and is "${value}"${nearest === null ? '' : `; did you mean "${nearest}"?`}` }];
    }
    case 'invalid_key':
      return [{ place, what: `${name} must be ${issue.issues[0]?.message}` }];
    case 'invalid_union':
      return [{ place, what: `${name} must be ${unionAt(issue.path)}, and is ${kindOf(valueAt(document.value, issue.path))}` }];
    case 'too_small':
      return [
        { place, what: issue.origin === 'string' || issue.origin === 'array' ? `${name} must not be empty` : `${name} must be at least ${issue.minimum}` },
      ];
    case 'too_big':
      if (issue.origin === 'number' || issue.origin === 'int') return [{ place, what: `${name} must be at most ${issue.maximum}` }];
      return [{ place, what: `${name} has more than ${issue.maximum} ${issue.origin === 'string' ? 'characters' : 'entries'}` }];
    default:
      return [{ place, what: `${name} must be ${issue.message}` }];
  }
}

function explainKey(document: unknown, path: Path, key: string): string {
  if (path[0] === 'parameters') return explainWord('a parameter', PARAMETER_WORDS, key);
  if (path[0] === 'drift') return explainWord('"drift"', DRIFT_WORDS, key);
  if (path[2] === 'lock_timeout') return `"lock_timeout" has no "${key}"; it has ${Object.keys(lockTimeoutsSchema.shape).join(', ')}`;
  const list = path[2] === 'checks' ? 'checks' : 'steps';
  const words =
    path.length === 0 ? Object.keys(bundleFileSchema.shape) : path.length === 2 ? Object.keys(phaseSchema.shape) : wordsOf(list, valueAt(document, path));
  const where = path.length === 0 ? 'a bundle file' : path.length === 2 ? 'a phase' : list === 'steps' ? 'a step' : 'a check';
  return explainWord(where, words, key);
}

function explainWord(where: string, words: readonly string[], key: string): string {
  const nearest = findNearest(key, words);
  return `${where} has no "${key}"; ${nearest === null ? `it has ${words.join(', ')}` : `did you mean "${nearest}"?`}`;
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

/** An example of the map that was expected there. */
function exampleAt(path: Path): string {
  if (path[0] === 'parameters') return '{ type: text }';
  if (path[0] === 'drift') return '{ ignore: [{ schema: partman }] }';
  return path.length === 2 ? '{ name: main, steps: [{ run: schema/*.sql }] }' : '{ run: schema/*.sql }';
}

/** What is expected where several kinds of values are allowed: a setting, or an expression. */
function unionAt(path: Path): string {
  return path.at(-2) === 'settings' ? 'text that is not empty, a number, true or false' : 'an expression of SQL as text, or true or false';
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : typeof value === 'string' ? 'text' : `a ${typeof value}`;
}

/** The last word of a path, with the number of the list's entry (from 1) when it is one. */
function nameOf(path: Path): string {
  const last = path.at(-1);
  if (typeof last === 'number') return `entry ${last + 1} of "${String(path.at(-2) ?? '')}"`;
  return last === undefined ? 'the file' : `"${String(last)}"`;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((below, key) => (typeof below === 'object' && below !== null ? Reflect.get(below, key) : undefined), value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function _listIn(value: unknown, key: string): readonly unknown[] {
  const list = isRecord(value) ? value[key] : undefined;
  return Array.isArray(list) ? list : [];
}

function sentence(what: string): string {
  return what.endsWith('?') ? what : `${what}.`;
}

function at(place: Place): string {
  return `${BUNDLE_FILE}, line ${place.line}, column ${place.column}`;
}

function invalid(place: Place, what: string, cause?: unknown): Problem {
  return new Problem('invalid_bundle', `${at(place)}: ${sentence(what)}`, { file: BUNDLE_FILE, ...place }, cause);
}
