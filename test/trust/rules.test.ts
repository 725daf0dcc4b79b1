/** The rules of an environment: from which branches, in which hours, and what of them the database is asked. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { WeftRequest } from '../../src/domain/request.ts';
import { protectionOf, requireApprovable, requireRules } from '../../src/trust/rules.ts';
import { problemOf } from '../config/problems.ts';
import { makeDeployment } from '../http/support.ts';
import { deployRequest } from './fixtures.ts';

const at = (text: string) => Date.parse(text) / 1000;
const configOf = (environment: object) =>
  parseConfig({
    origin: 'https://weft.example.com',
    environments: { live: environment },
    targets: { shop: { database: 'SHOP_URL', transport: 'websocket', environment: 'live' }, free: { database: 'FREE_URL', transport: 'websocket' } },
    callers: { ci: { secrets: ['CI_SECRET'] }, undoer: { secrets: ['UNDOER_SECRET'] } },
    grants: [
      { caller: 'ci', targets: ['shop'], actions: ['deploy'] },
      { caller: 'undoer', targets: ['shop'], actions: ['undo'] },
    ],
  });
const branches = configOf({ branches: ['main', 'release/*'] });
const hours = configOf({ hours: { days: ['mon', 'tue', 'fri'], from: '08:30', until: '16:00', zone: 'Europe/Berlin' } });
const MONDAY_NOON = at('2026-11-23T12:00:00Z');

describe('require_rules', () => {
  it.each(['main', 'release/7'])('lets %s pass', (branch) => {
    requireRules(branches, deployRequest(), { branch, nowSeconds: MONDAY_NOON });
  });

  it.each([['mainly'], ['feature'], ['releases/7'], ['refs/heads/main'], [null]])('refuses %s', async (branch) => {
    const problem = await problemOf(() => requireRules(branches, deployRequest(), { branch, nowSeconds: MONDAY_NOON }));
    expect(problem.slug).toBe('environment_rule');
    expect(problem.facts).toEqual({ environment: 'live', rule: 'branches', target: 'shop' });
    expect(problem.message).toContain(branch === null ? 'nothing proves from which branch' : `this comes from "${branch}"`);
  });

  it.each([
    ['2026-11-23T07:30:00Z', true], // 08:30 in Berlin, a Monday
    ['2026-11-23T07:29:59Z', false],
    ['2026-11-23T14:59:59Z', true],
    ['2026-11-23T15:00:00Z', false],
    ['2026-07-06T06:30:00Z', true], // in summer an hour earlier
    ['2026-07-06T06:29:00Z', false],
    ['2026-11-25T12:00:00Z', false], // a Wednesday
    ['2026-11-22T12:00:00Z', false], // a Sunday
  ])('at %s: %s', async (time, isOpen) => {
    const call = () => requireRules(hours, deployRequest(), { branch: null, nowSeconds: at(time) });
    if (isOpen) call();
    else expect((await problemOf(call)).facts).toMatchObject({ rule: 'hours' });
  });

  it('knows midnight, at both ends of a day', async () => {
    const all = configOf({ hours: { days: ['mon'], from: '00:00', until: '24:00', zone: 'UTC' } });
    for (const time of ['2026-11-23T00:00:00Z', '2026-11-23T23:59:59Z']) requireRules(all, deployRequest(), { branch: null, nowSeconds: at(time) });
    expect((await problemOf(() => requireRules(all, deployRequest(), { branch: null, nowSeconds: at('2026-11-24T00:00:00Z') }))).message).toContain(
      'there it is tue 00:00',
    );
  });

  it('leaves alone what goes to a target without an environment', () => {
    requireRules(branches, { ...deployRequest(), target: 'free' }, { branch: null, nowSeconds: MONDAY_NOON });
  });

  it('holds for a baseline, and not for a rehearsal', async () => {
    const circumstances = { branch: null, nowSeconds: MONDAY_NOON };
    expect((await problemOf(() => requireRules(branches, { ...deployRequest(), mode: 'baseline' }, circumstances))).slug).toBe('environment_rule');
    requireRules(branches, { ...deployRequest(), mode: 'rehearse' }, circumstances);
  });

  it('keeps nobody from continuing, cancelling or taking back', () => {
    const { type: _, mode: __, manifest: ___, ...common } = deployRequest();
    const deployment = '0192f0c1-7b1a-7cc3-8a52-3f0d5a6b7c8d';
    const acts = [
      { type: 'resume', ...common, deployment },
      { type: 'cancel', ...common, deployment },
      { type: 'undo', ...common, deployment, partly: false, mode: 'apply' },
    ] as WeftRequest[];
    for (const act of acts) requireRules(branches, act, { branch: null, nowSeconds: MONDAY_NOON });
  });
});

describe('what asks the database', () => {
  it('goes there with whatever is opened on a target of the environment, and with nothing else', () => {
    const config = configOf({ second_person: true, hours: { days: ['mon'], from: '08:00', until: '09:00', zone: 'UTC' } });
    expect(protectionOf(config, 'shop')).toEqual({ environment: 'live', second_person: true, rehearsal_first: false });
    expect(protectionOf(configOf({ rehearsal_first: true }), 'shop')).toEqual({ environment: 'live', second_person: false, rehearsal_first: true });
    expect(protectionOf(config, 'free')).toBeNull();
    expect(protectionOf(configOf({ branches: ['main'] }), 'shop')).toBeNull();
  });

  it('may be approved while its caller may still deploy, at the hours of the environment; an undo at any hour', async () => {
    const config = configOf({ second_person: true, hours: { days: ['mon'], from: '08:00', until: '09:00', zone: 'UTC' } });
    const monday = Date.parse('2026-03-02T08:30:00Z') / 1000;
    const waiting = makeDeployment({ state: 'open', caller: 'ci' });
    expect(() => requireApprovable(config, 'shop', waiting, monday)).not.toThrow();
    expect((await problemOf(() => requireApprovable(config, 'shop', waiting, monday + 3600))).slug).toBe('environment_rule');
    expect((await problemOf(() => requireApprovable(config, 'shop', { ...waiting, caller: 'gone' }, monday))).slug).toBe('no_grant');
    expect((await problemOf(() => requireApprovable(config, 'shop', { ...waiting, mode: 'baseline' }, monday))).slug).toBe('no_grant');
    expect((await problemOf(() => requireApprovable(config, 'shop', { ...waiting, undoes: 'x' }, monday))).slug).toBe('no_grant');
    expect(() => requireApprovable(config, 'shop', { ...waiting, caller: 'undoer', undoes: 'x' }, monday + 3600)).not.toThrow();
    expect(() => requireApprovable(config, 'shop', { ...waiting, caller: 'direct' }, monday)).not.toThrow();
  });
});
