// A real OpenID provider (npm oidc-provider) with one client, and an API behind it that takes its tokens. People are
// played by the server itself: whoever comes to sign in is `ada`, or who the cookie `who` names, and gives leave for
// everything.
//
// usage: oidc.mjs PORT REDIRECT_URI [ACCESS_TTL_SECONDS]
// Refresh tokens are good for one use. /api/me answers who the token is of; /mcp is an MCP server that takes tokens
// made for it only, of clients that register themselves; /keyed is an API that takes the keys `key-NAME`; /stats counts
// what was asked, and who was served (`nobody` for what was refused).
import { generateKeyPairSync } from 'node:crypto'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const modules = process.env.TRUNKLINE_TEST_NPM
const entry = createRequire(`${modules}/x.js`).resolve('oidc-provider')
const { Provider } = await import(pathToFileURL(entry).href)

const [port, redirectUri, ttl = '3600'] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
// The client `signer` has a key in place of a password; /signing-key gives it away.
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
let isForgetful = false
const stats = { token: 0, refresh: 0, refused: 0, served: {} }
const serve = (who) => { stats.served[who] = (stats.served[who] ?? 0) + 1 }

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'hub',
    client_secret: 'hub-secret-hub-secret-hub-secret',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: 'client_secret_post',
  }, {
    client_id: 'signer',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'first', alg: 'ES256', use: 'sig' }] },
  }],
  scopes: ['openid', 'offline_access', 'api', 'mcp'],
  features: { clientCredentials: { enabled: true }, deviceFlow: { enabled: true }, devInteractions: { enabled: false }, revocation: { enabled: true }, registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({ scope: 'mcp', audience: resource, accessTokenFormat: 'opaque', accessTokenTTL: Number(ttl) }),
    } },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: { AccessToken: Number(ttl), ClientCredentials: Number(ttl), RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600 },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
})
provider.on('grant.success', (ctx) => { stats.token += 1; if (ctx.oidc.params.grant_type === 'refresh_token') stats.refresh += 1 })
provider.on('grant.error', () => { stats.refused += 1 })

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) {
    const { prompt, params, grantId, session } = await provider.interactionDetails(ctx.req, ctx.res)
    let result
    if (prompt.name === 'login') {
      result = { login: { accountId: ctx.cookies.get('who') ?? 'ada' } }
    } else {
      const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
      grant.addOIDCScope(params.scope ?? 'openid')
      if (params.resource) grant.addResourceScope(params.resource, 'mcp')
      result = { consent: { grantId: await grant.save() } }
    }
    ctx.respond = false
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true })
  }
  if (ctx.path === '/api/me') {
    const value = (ctx.get('authorization') || '').replace(/^Bearer /, '')
    const token = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value))
    if (!token || !token.isValid) {
      serve('nobody')
      ctx.status = 401
      ctx.body = { error: { message: 'token refused' } }
      return
    }
    serve(token.accountId ?? token.clientId)
    ctx.body = { who: token.accountId ?? token.clientId }
    return
  }
  if (ctx.path === '/keyed') {
    const [, who] = /^key-(.+)$/.exec(ctx.get('x-api-key')) ?? []
    serve(who ?? 'nobody')
    ctx.status = who ? 200 : 401
    ctx.body = who ? { who } : { error: { message: 'key refused' } }
    return
  }
  if (ctx.path === '/.well-known/oauth-protected-resource/mcp') {
    ctx.body = { resource: `${issuer}/mcp`, authorization_servers: [issuer], scopes_supported: ['mcp'] }
    return
  }
  if (ctx.path === '/mcp') {
    const value = (ctx.get('authorization') || '').replace(/^Bearer /, '')
    const token = value && await provider.AccessToken.find(value)
    if (!token || !token.isValid || token.aud !== `${issuer}/mcp`) {
      ctx.status = 401
      ctx.set('www-authenticate', `Bearer resource_metadata="${issuer}/.well-known/oauth-protected-resource/mcp"`)
      return
    }
    if (ctx.method !== 'POST') {
      ctx.status = 405
      return
    }
    let text = ''
    for await (const chunk of ctx.req) text += chunk
    const { id, method, params } = JSON.parse(text)
    const results = {
      initialize: () => ({ protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'guarded', version: '1' } }),
      'tools/list': () => ({ tools: [{ name: 'who', inputSchema: { type: 'object' } }] }),
      'tools/call': () => ({ content: [{ type: 'text', text: `${token.accountId} by ${params.name}` }] }),
    }
    if (method === 'tools/call') serve(token.accountId)
    if (id === undefined) {
      ctx.status = 202
    } else {
      ctx.body = results[method] ? { jsonrpc: '2.0', id, result: results[method]() } : { jsonrpc: '2.0', id, error: { code: -32601, message: 'no such method' } }
    }
    return
  }
  if (ctx.path === '/signing-key') {
    ctx.body = pair.privateKey.export({ format: 'pem', type: 'pkcs8' })
    return
  }
  if (ctx.path === '/stats') {
    ctx.body = stats
    return
  }
  // From now on nothing is renewed, as if everybody had taken their leave back.
  if (ctx.path === '/forget') {
    isForgetful = true
    ctx.body = {}
    return
  }
  if (isForgetful && ctx.path === '/token') {
    ctx.status = 400
    ctx.body = { error: 'invalid_grant', error_description: 'grant request is invalid' }
    return
  }
  await next()
})

provider.listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify({ ready: true, url: issuer })))
