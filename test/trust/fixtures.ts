/** Two callers, two targets, a clock that stands still, and a request that passes: where the tests of this room begin. */
import { type Config, parseConfig } from '../../src/config/config.ts';
import type { CallerKeys } from '../../src/config/secrets.ts';
import { encodeWebhookSecret } from '../../src/config/webhook_secret.ts';
import type { DeployRequest } from '../../src/domain/request.ts';

export const secretOf = (byte: number, length = 32) => encodeWebhookSecret(new Uint8Array(length).fill(byte));

/** 2026-11-22T12:00:00Z */
export const NOW = Date.UTC(2026, 10, 22, 12) / 1000;

export const later = (seconds: number) => new Date((NOW + seconds) * 1000).toISOString();

/** The configuration as a Worker is given it. */
export const binding = {
  origin: 'https://weft.example.com',
  targets: { shop: { database: 'SHOP_URL', transport: 'websocket' }, 'preview-1': { database: 'PREVIEW_URL', transport: 'websocket' } },
  callers: { ci: { secrets: ['CI_NEXT', 'CI_LAST'] }, people: { secrets: ['PEOPLE'] } },
  grants: [
    { caller: 'ci', targets: ['shop'], actions: ['deploy', 'resume', 'cancel', 'read'] },
    { caller: 'people', targets: ['preview-*'], actions: ['deploy', 'read'] },
  ],
};

export const config: Config = parseConfig(binding);

export const CI_NEXT = secretOf(1);
export const CI_LAST = secretOf(2, 24);
export const PEOPLE = secretOf(3, 64);
export const STRANGER = secretOf(9);

export const callers: readonly CallerKeys[] = [
  { name: 'ci', secrets: [CI_NEXT, CI_LAST] },
  { name: 'people', secrets: [PEOPLE] },
];

export const DEPLOYMENT = '0192f0c1-7b1a-7cc3-8a52-3f0d5a6b7c8d';

export const deployRequest = (): DeployRequest => ({
  type: 'deploy',
  id: 'run-1:1',
  audience: 'https://weft.example.com',
  target: 'shop',
  expires_at: later(600),
  mode: 'apply',
  manifest: {
    format: 1,
    bundle: 'shop',
    artifacts: [{ path: 'a.sql', digest: 'a'.repeat(64), size: 10 }],
    phases: [{ name: 'all', transaction: 'auto', steps: [{ kind: 'run', path: 'a.sql' }] }],
  },
});
