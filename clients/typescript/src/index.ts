// A client of a hub's HTTP API: every operation of its OpenAPI document by method and path, with the types that the
// document has for it, and the stream of events. `api.ts` is generated: `cargo xtask client` makes it anew.
import type { components, paths } from './api.ts';

type Schemas = components['schemas'];

export type IntegrationType = Schemas['IntegrationType'];
export type IntegrationCategory = Schemas['IntegrationCategory'];
export type AuthMethod = NonNullable<UserIntegration['auth_method']>;
export type ConnectionStatus = UserIntegration['status'];
/** How bytes travel to an MCP server; the document knows it as the word in a connection's `transport`. */
export type MCPProtocol = 'stdio' | 'http' | 'sse' | 'websocket' | 'tcp' | 'unix';
export type IntegrationTypeData = Schemas['IntegrationTypeData'];
export type UserIntegration = Schemas['UserIntegration'];
export type ConnectionTestResult = Schemas['ConnectionTestResult'];
export type HubEvent = Schemas['Event'];
export type Problem = Schemas['Problem'];
export type { components, paths };

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Operation<M extends Method, P extends keyof paths> = NonNullable<paths[P][M]>;
/** The paths that have this method. */
export type PathsOf<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, object> ? P : never }[keyof paths];

type PathPart<O> = O extends { parameters: { path: infer T } } ? { path: T } : { path?: never };
type QueryPart<O> = O extends { parameters: { query?: infer T } } ? { query?: T } : { query?: never };
type BodyPart<O> = O extends { requestBody: { content: { 'application/json': infer T } } } ? { body: T }
  : O extends { requestBody?: { content: { 'application/json': infer T } } } ? { body?: T } : { body?: never };
type Common = { headers?: Record<string, string>; signal?: AbortSignal };
/** What an operation takes. */
export type Input<M extends Method, P extends keyof paths> =
  PathPart<Operation<M, P>> & QueryPart<Operation<M, P>> & BodyPart<Operation<M, P>> & Common;
type Good = 200 | 201 | 202 | 204;
type Content<R> = R extends { content: { 'application/json': infer T } } ? T : undefined;
/** What an operation answers when it goes well. */
export type Output<M extends Method, P extends keyof paths> = Operation<M, P> extends { responses: infer R }
  ? { [S in keyof R & Good]: Content<R[S]> }[keyof R & Good] : never;
type Rest<I> = object extends I ? [input?: I] : [input: I];

/** What went wrong, in the hub's own words. */
export class HubError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
    this.name = 'HubError';
    this.problem = problem;
  }
}

export interface EventOptions {
  /** Types, or `noun.*`, between commas. */
  types?: string;
  /** The last event that was seen. */
  after?: string;
  signal?: AbortSignal;
}

/** A hub, by its address and a key. */
export class Hub {
  readonly #url: string;
  readonly #key: string;

  constructor(url: string, key: string) {
    this.#url = url.replace(/\/+$/, '');
    this.#key = key;
  }

  /** One operation: `hub.send('get', '/api/v1/connections/{connection}', { path: { connection: 'files' } })`. */
  async send<M extends Method, P extends PathsOf<M>>(
    method: M, path: P, ...rest: Rest<Input<M, P>>
  ): Promise<Output<M, P>> {
    const { path: names, query, body, headers, signal } = (rest as [Loose?])[0] ?? {};
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(names?.[name])));
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null) search.set(name, String(value));
    }
    const response = await fetch(`${this.#url}${filled}${search.size > 0 ? `?${search}` : ''}`, {
      method: method.toUpperCase(),
      headers: { ...this.#headers(), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
    if (!response.ok) throw await problemOf(response);
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as Output<M, P>;
  }

  /**
   * What happens, as it happens, until `signal` says so or the key is refused. A stream that breaks is taken up where
   * it ended; a `gap` says that events are missing: read the lists again.
   */
  async *events({ types, after, signal }: EventOptions = {}): AsyncGenerator<HubEvent, void, void> {
    let seen = after;
    const query = types === undefined ? '' : `?${new URLSearchParams({ types })}`;
    const isOver = () => signal?.aborted === true;
    while (!isOver()) {
      try {
        const headers = { ...this.#headers(), ...(seen === undefined ? {} : { 'Last-Event-ID': seen }) };
        const response = await fetch(`${this.#url}/api/v1/events${query}`, { headers, signal: signal ?? null });
        if (!response.ok || response.body === null) throw await problemOf(response);
        for await (const { id, data } of frames(response.body)) {
          if (data !== '') yield JSON.parse(data) as HubEvent;
          seen = id ?? seen;
        }
      } catch (error) {
        if (isOver()) return;
        if (error instanceof HubError && error.problem.status < 500) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  #headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.#key}` };
  }
}

interface Loose {
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** What the hub said; what stands between may answer without a problem of its own. */
async function problemOf(response: Response): Promise<HubError> {
  const text = await response.text();
  try {
    return new HubError(JSON.parse(text) as Problem);
  } catch {
    const title = `HTTP ${response.status}`;
    return new HubError({
      type: 'about:blank', title, status: response.status, detail: text.slice(0, 500) || title, code: 'TL-0000',
      blame: 'upstream', retry: 'never', hint: '', call_id: null, link: null,
    });
  }
}

/** The events of a stream, by the rules of server-sent events as far as the hub uses them. */
async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<{ id?: string; data: string }> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const frame: { id?: string; data: string } = { data: '' };
      for (const line of rest.slice(0, end).split('\n')) {
        if (line.startsWith('id: ')) frame.id = line.slice(4);
        if (line.startsWith('data: ')) frame.data += line.slice(6);
      }
      rest = rest.slice(end + 2);
      yield frame;
    }
  }
}
