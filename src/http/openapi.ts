/**
 * The description of this API for programs: OpenAPI 3.1 (spec.openapis.org/oas/v3.1.1), made from the same schemas by which requests are read.
 * Schemas are JSON Schema, draft 2020-12, as that version of OpenAPI has it.
 */
import * as z from 'zod';
import { forgeKindSchema } from '../domain/change.ts';
import { LIMITS } from '../domain/limits.ts';
import { PROBLEMS } from '../domain/problem.ts';
import { ANSWER_SCHEMAS, OPERATIONS, type Operation, REQUEST_SCHEMAS } from './operations.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = Readonly<Record<string, Json>>;

const SCHEMAS = '#/components/schemas/';

/** Parameters by the name under which operations take them. */
const PARAMETERS = {
  target: { name: 'target', in: 'path', required: true, description: "The Worker's name of a database.", schema: { type: 'string' } },
  id: { name: 'id', in: 'path', required: true, description: 'Of a deployment.', schema: { type: 'string', format: 'uuid' } },
  forge: { name: 'forge', in: 'path', required: true, description: 'Which kind of forge tells.', schema: { type: 'string', enum: forgeKindSchema.options } },
  webhookId: {
    name: 'webhook-id',
    in: 'header',
    description: 'Comes with webhook-signature, and only then: the id of the request that is signed.',
    schema: { type: 'string' },
  },
  webhookTimestamp: {
    name: 'webhook-timestamp',
    in: 'header',
    description: 'Comes with webhook-signature, and only then: seconds since 1970, at most five minutes from the clock of the Worker.',
    schema: { type: 'string', pattern: '^[0-9]+$' },
  },
  prefer: {
    name: 'Prefer',
    in: 'header',
    description: `wait=SECONDS, ${LIMITS.prefer_wait_seconds_max} at most: how long to wait for the end (RFC 7240).`,
    schema: { type: 'string' },
  },
  limit: {
    name: 'limit',
    in: 'query',
    description: 'How many at most.',
    schema: { type: 'integer', minimum: 1, maximum: LIMITS.deployments_listed_count_max },
  },
  after: { name: 'after', in: 'query', required: true, description: 'The id of a deployment.', schema: { type: 'string', format: 'uuid' } },
  bundle: { name: 'bundle', in: 'query', description: 'Only of this bundle.', schema: { type: 'string' } },
  number: { name: 'number', in: 'query', description: 'Which one of several; the newest without it.', schema: { type: 'integer', minimum: 1 } },
  lastEventId: { name: 'Last-Event-ID', in: 'header', description: 'The number of the last event that was read.', schema: { type: 'string' } },
  ifNoneMatch: { name: 'If-None-Match', in: 'header', description: 'The ETag of what is known (RFC 9110).', schema: { type: 'string' } },
} as const satisfies Record<string, JsonObject>;

const PROBLEM: JsonObject = {
  type: 'object',
  description: 'A problem document (RFC 9457). Further members are facts of the problem.',
  required: ['type', 'title', 'status', 'detail'],
  properties: {
    type: { type: 'string', enum: Object.keys(PROBLEMS).map((slug) => `urn:weft:problem:${slug}`) },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
  },
};

let schemas: JsonObject | undefined;

/**
 * @param origin of this Worker
 * @param version of this Weft
 * @returns the document
 */
export function describeApi(origin: string, version: string): JsonObject {
  schemas ??= { ...convert(REQUEST_SCHEMAS, 'input'), ...convert(ANSWER_SCHEMAS, 'output'), Problem: PROBLEM };
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of OPERATIONS) paths[operation.path] = { ...paths[operation.path], [operation.method]: describe(operation) };
  return {
    openapi: '3.1.1',
    info: {
      title: 'Weft',
      version,
      description:
        'Deploys changes to PostgreSQL from inside PostgreSQL. What changes something is signed (Standard Webhooks), or comes with the identity token of a job; what reads needs a bearer token.',
      license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: origin }],
    tags: [
      { name: 'change', description: 'What changes something: signed, or with an identity token.' },
      { name: 'read', description: 'What only reads: with a bearer token.' },
      { name: 'worker', description: 'What the Worker says of itself, to anybody.' },
    ],
    paths,
    components: {
      schemas,
      parameters: PARAMETERS,
      responses: {
        Refused: {
          description: 'Refused: who asks, or what is asked. Nothing was changed.',
          content: { 'application/problem+json': { schema: ref('Problem') } },
        },
        Failed: {
          description: 'Something in the set-up or on the way. The same request can be sent again.',
          content: { 'application/problem+json': { schema: ref('Problem') } },
        },
      },
      securitySchemes: {
        signature: {
          type: 'apiKey',
          in: 'header',
          name: 'webhook-signature',
          description: 'Standard Webhooks: "v1," and base64 of HMAC-SHA256 over "id.timestamp.body".',
        },
        hub: {
          type: 'apiKey',
          in: 'header',
          name: 'x-hub-signature-256',
          description: 'GitHub: "sha256=" and HMAC-SHA256 in hexadecimal over the body.',
        },
        lab: { type: 'apiKey', in: 'header', name: 'x-gitlab-token', description: 'GitLab, where it does not sign: the secret token of the webhook.' },
        azureHeader: { type: 'apiKey', in: 'header', name: 'x-weft-token', description: 'Azure DevOps, which does not sign: the secret of the service hook.' },
        azureBasic: { type: 'http', scheme: 'basic', description: 'The same as a password: the user is "weft", the password the secret of the service hook.' },
        identity: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description:
            'The identity token of a job of GitHub Actions or GitLab CI, whose caller has no secret: then no signature is sent. Of Azure Pipelines it comes beside a signature.',
        },
        bearer: { type: 'http', scheme: 'bearer', description: 'What "weft sign --read" prints.' },
        token: { type: 'apiKey', in: 'query', name: 'token', description: 'What stands in Location: good for one deployment.' },
      },
    },
  };
}

function describe({ id, method, path, does, proof, body, alsoAs = [], answers, hasPage = false, takes = [] }: Operation): JsonObject {
  const inPath = (['target', 'id', 'forge'] as const).filter((name) => path.includes(`{${name}}`));
  const signed = proof === 'signature' || proof === 'webhook' ? (['webhookId', 'webhookTimestamp'] as const) : [];
  const parameters = [...inPath, ...signed, ...takes].map((name) => ({ $ref: `#/components/parameters/${name}` }));
  return {
    operationId: id,
    summary: does,
    tags: [{ signature: 'change', webhook: 'change', bearer: 'read', none: 'worker' }[proof]],
    security: secure(proof, path),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: ref(body) }, ...Object.fromEntries(alsoAs.map((type) => [type, {}])) },
      },
    }),
    ...(proof === 'webhook' && { requestBody: { required: true, content: { 'application/json': { schema: { type: 'object' } } } } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, respond(Number(status), answer, method, path, hasPage)])),
      ...(proof === 'none' ? {} : { '4XX': { $ref: '#/components/responses/Refused' }, '5XX': { $ref: '#/components/responses/Failed' } }),
    },
  };
}

/** Any one of them proves who asks. */
function secure(proof: Operation['proof'], path: string): Json {
  switch (proof) {
    case 'signature':
      return [{ signature: [] }, { identity: [] }, { signature: [], identity: [] }];
    case 'webhook':
      return [{ hub: [] }, { signature: [] }, { lab: [] }, { azureHeader: [] }, { azureBasic: [] }];
    case 'bearer':
      return [{ bearer: [] }, { identity: [] }, ...(path.includes('{id}') ? [{ token: [] }] : [])];
    case 'none':
      return [];
  }
}

function respond(status: number, answer: Operation['answers'][number], method: string, path: string, hasPage: boolean): JsonObject {
  const headers: JsonObject =
    method === 'post' && path.includes('/deployments') && !path.endsWith('/plan')
      ? { Location: { description: 'Where the deployment can be read.', schema: { type: 'string' } } }
      : {};
  const description = { 200: 'As it is.', 202: 'It is not over.', 304: 'As it was.', 503: 'Not set up.' }[status] ?? '';
  if (answer === 'nothing') return { description };
  if (answer.includes('/')) return { description, content: { [answer]: { schema: { type: answer === 'application/json' ? 'object' : 'string' } } } };
  return {
    description,
    ...(Object.keys(headers).length > 0 && { headers }),
    content: { 'application/json': { schema: ref(answer) }, ...(hasPage && { 'text/html': { schema: { type: 'string' } } }) },
  };
}

function ref(name: string): JsonObject {
  return { $ref: `${SCHEMAS}${name}` };
}

/** What a schema of zod says that JSON Schema has no word for is left open. */
function convert(named: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output'): JsonObject {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(named)) registry.add(schema, { id });
  const converted = z.toJSONSchema(registry, { target: 'draft-2020-12', io, unrepresentable: 'any', uri: (id) => `${SCHEMAS}${id}` });
  return Object.fromEntries(Object.entries(converted.schemas).map(([id, { $id: _id, $schema: _schema, ...schema }]) => [id, schema as unknown as JsonObject]));
}
