import { mayfly } from '@mayfly/vitest-plugin'
import { defineConfig } from 'vitest/config'

export default defineConfig({ plugins: [mayfly()], test: { include: ['tests/**/*.test.ts'] } })
