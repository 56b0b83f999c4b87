// What is asked of siplane, and with which token.
//
// The token is kept in sessionStorage, so that it ends with the tab, and goes nowhere but into Authorization.

const KEY = "siplane.token";
const ANSWER_WITHIN_MS = 5_000;

// Nobody knows the token, or none was given.
export class Unknown extends Error {}

// A method refused: `code` is the one of JSON-RPC.
export class Refused extends Error {
  constructor(error) {
    super(error.message);
    this.code = error.code;
  }
}

export const NO_SUCH_METHOD = -32601;
export const NOT_ALLOWED = -32003;

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

// What a token can be made of; a header can hold nothing else.
export function canBeToken(text) {
  return /^[\x21-\x7e]+$/.test(text);
}

async function ask(path, options) {
  const headers = { ...options.headers };
  if (hasToken()) {
    headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  }
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const answer = await fetch(path, { ...options, headers, signal, cache: "no-store", credentials: "same-origin", redirect: "error" });
  if (answer.status === 401) {
    throw new Unknown("a token is needed");
  }
  if (!answer.ok) {
    throw new Error(`siplane answers ${answer.status}: ${(await answer.text()).trim()}`);
  }
  return answer;
}

// What whoever looks may do: "read", "operate" or "report".
export async function role() {
  return (await ask("/role", { method: "GET" })).text();
}

// Calls methods in one request: [[name, params], ...]. For each its result, or a Refused.
export async function batch(calls) {
  const requests = calls.map(([method, params], id) => ({ jsonrpc: "2.0", method, params, id }));
  const headers = { "Content-Type": "application/json" };
  const answers = await (await ask("/rpc", { method: "POST", headers, body: JSON.stringify(requests) })).json();
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  return requests.map(({ id }) => {
    const answer = byId.get(id);
    return answer.error ? new Refused(answer.error) : answer.result;
  });
}

// Calls one method.
export async function call(method, params) {
  const [answer] = await batch([[method, params]]);
  if (answer instanceof Refused) {
    throw answer;
  }
  return answer;
}
