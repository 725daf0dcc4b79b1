/**
 * What every step came to, as the XML of JUnit: GitLab shows it beside a merge request, Jenkins and others in their own way.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Deployment, PhaseStatus, StepStatus } from '../domain/deployment.ts';
import { cut, oneLine, timeBetween } from '../words/text.ts';
import type { Printer } from './io.ts';

/** Characters of a message in an attribute. */
const MESSAGE_CHARACTERS = 200;

/** A deployment that is over, or was left, and the words with which it ended. */
export interface Reported {
  readonly deployment: Deployment;
  /** For the step that failed. */
  readonly words: string;
}

/**
 * A testcase for each step, a testsuite for each phase.
 * @param reported one, or several of the same bundle
 */
export function renderJunit(reported: readonly Reported[]): string {
  const name = `weft ${reported[0]?.deployment.bundle ?? ''}`.trimEnd();
  return ['<?xml version="1.0" encoding="UTF-8"?>', `<testsuites name="${xml(name)}">`, ...reported.flatMap(suitesOf), '</testsuites>', ''].join('\n');
}

function suitesOf({ deployment, words }: Reported): string[] {
  const suites = deployment.phases.map((phase) => {
    const cases = phase.steps.map((step) => caseOf(phase, step, deployment, words));
    const failures = phase.steps.filter((step) => isFailed(step, deployment)).length;
    const skipped = phase.steps.filter((step) => !isFailed(step, deployment) && step.state !== 'succeeded').length;
    const head = `tests="${cases.length}" failures="${failures}" skipped="${skipped}" time="${inSeconds(timeBetween(phase.started_at, phase.finished_at))}"`;
    return [`  <testsuite name="${xml(phase.name)}" ${head}>`, ...cases, '  </testsuite>'].join('\n');
  });
  return deployment.state === 'failed' && !hasFailedStep(deployment) ? [...suites, lonely(deployment.bundle, words)] : suites;
}

/** The same of a problem before there was any deployment. */
export function renderProblemJunit(words: string): string {
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="weft">', lonely('weft', words), '</testsuites>', ''].join('\n');
}

/** What stopped it belongs to no step. */
function lonely(name: string, words: string): string {
  const text = `<failure message="${xml(firstLine(words))}">${xml(words)}</failure>`;
  return `  <testsuite name="${xml(name)}" tests="1" failures="1">\n    <testcase classname="${xml(name)}" name="deployment">${text}</testcase>\n  </testsuite>`;
}

function caseOf(phase: PhaseStatus, step: StepStatus, deployment: Deployment, words: string): string {
  const head = `    <testcase classname="${xml(phase.name)}" name="${xml(step.path)}" time="${inSeconds(step.milliseconds ?? 0)}"`;
  if (step.state === 'succeeded') return `${head}/>`;
  if (!isFailed(step, deployment)) return `${head}><skipped message="${step.state}"/></testcase>`;
  const error = step.error ?? deployment.error;
  const message = error == null ? firstLine(words) : `${error.sqlstate}: ${error.message}`;
  return `${head}><failure message="${xml(firstLine(message))}">${xml(words)}</failure></testcase>`;
}

/** The steps of an all-or-nothing phase that was rolled back are pending; the error knows which one failed. */
function isFailed({ path, state }: StepStatus, { error }: Deployment): boolean {
  return state === 'failed' || (state === 'pending' && error?.path === path);
}

function hasFailedStep(deployment: Deployment): boolean {
  return deployment.phases.some(({ steps }) => steps.some((step) => isFailed(step, deployment)));
}

function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function firstLine(text: string): string {
  return cut(oneLine(text.trimStart().split('\n')[0] ?? ''), MESSAGE_CHARACTERS);
}

/** XML 1.0, section 2.2: most control characters cannot stand in a document, however they are written. */
function xml(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
      .replace(/[&<>"'\n\r\t]/g, (character) => `&#${character.charCodeAt(0)};`)
  );
}

/**
 * Writes a report, if one was asked for. A report that cannot be written is no reason for a deployment to have failed.
 * @param file as it was named, seen from where the command runs
 */
export function writeReport(printer: Printer, file: string | boolean | undefined, render: () => string): void {
  if (typeof file !== 'string') return;
  try {
    writeFileSync(resolve(printer.io.folder ?? process.cwd(), file), render());
  } catch (error) {
    printer.note(`warning: ${oneLine(file)} could not be written: ${error instanceof Error ? oneLine(error.message) : 'why is not known'}`);
  }
}
