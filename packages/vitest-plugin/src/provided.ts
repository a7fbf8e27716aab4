import type { Handle, Registered } from '@mayfly/core/worker'

/** What of a handle is known without a connection: its address, and the texts its preset knows (`url`, `user`, …). */
export type ProvidedService<H = unknown> = {
  readonly host: string
  /** Numbers at `host`, by the container's port. */
  readonly ports: Readonly<Record<string, number>>
} & { readonly [K in keyof H as H[K] extends string ? (K extends 'id' | 'name' | 'ip' | 'image' | 'host' ? never : K) : never]: H[K] }

/** Services that the whole run shares, for `inject('mayfly')`. */
export type ProvidedServices = { readonly [K in keyof Registered & string]?: ProvidedService<Handle<K>> }

declare module 'vitest' {
  interface ProvidedContext {
    readonly mayfly: ProvidedServices
    /** The run, for our own set-up file. */
    readonly mayflyRun: string
    /** The order of hooks (`sequence.hooks`), for it too. */
    readonly mayflyHooks: 'stack' | 'list' | 'parallel'
  }
}
