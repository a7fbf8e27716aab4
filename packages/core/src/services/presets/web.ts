import type { Container } from '../../container/types.js'
import { urlOf, type Preset, type SeenInside } from './types.js'

/** A server whose first port speaks HTTP. */
export interface HttpContainer extends Container, SeenInside<{ readonly url: string }> {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string
  /** Requests a path of this server. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

/** Apache's server. [`httpd`: port 80] */
export const HTTPD: Preset = {
  image: 'httpd',
  ports: [80],
  env: {},
  // Graceful, as its documentation calls it.
  stopSignal: 'SIGWINCH',
  ready: () => ({ port: 80, http: '/' }),
  facts: self => ({ url: urlOf('http', self, 80) }),
}

export const NGINX: Preset = { ...HTTPD, image: 'nginx', stopSignal: 'SIGQUIT' }
