/** Parameters as `check` and `plan` show them, secrets without their values. Pure. */
import type { Parameter } from '../domain/parameters.ts';
import type { Style } from '../words/style.ts';
import { columns, cut, oneLine } from '../words/text.ts';
import type { Assigned } from './parameters.ts';

const VALUE_CHARACTERS = 60;
/** A secret is never shown, and not how long it is either. */
const HIDDEN = '***';

/** @param assigned without it, what each needs is shown */
export function parameterLines(parameters: readonly Parameter[], style: Style, assigned?: Assigned): string[] {
  if (parameters.length === 0) return [];
  const rows = parameters.map((parameter) => [
    `   ${parameter.name}`,
    parameter.type,
    shownValue(parameter, assigned),
    [parameter.secret ? 'secret' : '', oneLine(parameter.description ?? '')].filter((part) => part !== '').join('; '),
  ]);
  return ['', style.bold('parameters'), ...columns(rows)];
}

/** What is shown for a parameter: its value, its default, or that it has none. */
function shownValue({ name, default: otherwise, required, secret }: Parameter, assigned: Assigned | undefined): string {
  const given = (secret ? assigned?.secrets : assigned?.parameters) ?? {};
  if (Object.hasOwn(given, name)) return secret ? HIDDEN : cut(oneLine(assigned?.parameters[name] ?? ''), VALUE_CHARACTERS);
  if (otherwise !== undefined) return `${cut(oneLine(otherwise), VALUE_CHARACTERS)} (default)`;
  if (required) return assigned === undefined ? 'required' : 'missing';
  return 'none';
}

/** For programs: the same, with null for what is not shown or not there. */
export function describeParameters(declared: readonly Parameter[], { parameters, secrets }: Assigned) {
  return declared.map((parameter) => ({
    ...parameter,
    given: Object.hasOwn(parameters, parameter.name) || Object.hasOwn(secrets, parameter.name),
    value: parameter.secret ? null : ((Object.hasOwn(parameters, parameter.name) ? parameters[parameter.name] : parameter.default) ?? null),
  }));
}
