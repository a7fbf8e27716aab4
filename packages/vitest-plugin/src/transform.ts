import { MayflyError } from '@mayfly/core/plugin'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Plugin } from 'vitest/config'
import type * as TypeScript from 'typescript'

/**
 * Standard decorators are left in place by Vite's own transformer, and no JavaScript engine knows them. Files that use
 * ours are lowered before it, by esbuild or TypeScript, whichever the project has. Where tsconfig says
 * `experimentalDecorators`, Vite lowers them itself.
 */
export function lowerDecorators(): Plugin {
  let root = process.cwd()
  return {
    name: 'mayfly:decorators',
    enforce: 'pre',
    configResolved: config => void (root = config.root),
    transform: async (code, id) => {
      const [file = id] = id.split('?')
      if (!usesDecorator(code, file)) return null
      const require = createRequire(join(root, 'package.json'))
      const typescript = optional<typeof TypeScript>(require, 'typescript')
      if (typescript?.transpileModule !== undefined) return withTypeScript(typescript, code, file)
      const esbuild = optional<Esbuild>(require, 'esbuild')
      if (esbuild !== undefined) return await withEsbuild(esbuild, code, file)
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `${file} uses decorators, and nothing here can lower them`, {
        hint: 'Install esbuild, or TypeScript below 7, as a development dependency; or use the function form: const web = container(\'httpd\').',
      })
    },
  }
}

/** A file of the project that imports from the plugin and has a decorator before a member. */
export function usesDecorator(code: string, file: string): boolean {
  return /\.[cm]?[jt]sx?$/.test(file) && !file.includes('/node_modules/')
    && code.includes('@mayfly/vitest-plugin') && /^\s*@[\w$.]+\s*\(/m.test(code)
}

function withTypeScript(ts: typeof TypeScript, code: string, file: string): { code: string; map: string } | null {
  const path = ts.findConfigFile(file, name => ts.sys.fileExists(name))
  const { options } = path === undefined
    ? { options: {} as TypeScript.CompilerOptions }
    : ts.parseJsonConfigFileContent(ts.readConfigFile(path, name => ts.sys.readFile(name)).config, ts.sys, join(path, '..'))
  if (options.experimentalDecorators === true) return null
  const { outputText, sourceMapText } = ts.transpileModule(code, {
    fileName: file,
    compilerOptions: {
      ...options,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      verbatimModuleSyntax: false,
      declaration: false,
      composite: false,
      sourceMap: true,
      inlineSourceMap: false,
      ...(file.endsWith('x') ? { jsx: options.jsx ?? ts.JsxEmit.Preserve } : {}),
    },
  })
  return { code: outputText.replace(/\n\/\/# sourceMappingURL=.*$/, '\n'), map: sourceMapText ?? '' }
}

interface Esbuild {
  transform(code: string, options: object): Promise<{ readonly code: string; readonly map: string }>
}

async function withEsbuild(esbuild: Esbuild, code: string, file: string): Promise<{ code: string; map: string } | null> {
  if (wantsOlderForm(file)) return null
  const loader = /\.[cm]?ts$/.test(file) ? 'ts' : file.endsWith('.tsx') ? 'tsx' : file.endsWith('.jsx') ? 'jsx' : 'js'
  const { code: lowered, map } = await esbuild.transform(code, { loader, target: 'es2022', format: 'esm', sourcemap: 'external', sourcefile: file })
  return { code: lowered, map }
}

/** Without TypeScript to follow `extends`, the nearest tsconfig's own words count. */
function wantsOlderForm(file: string): boolean {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const path = join(directory, 'tsconfig.json')
    if (existsSync(path)) return /"experimentalDecorators"\s*:\s*true/.test(readFileSync(path, 'utf8'))
    if (directory === dirname(directory)) return false
  }
}

function optional<T>(require: NodeJS.Require, name: string): T | undefined {
  try {
    return require(name) as T
  } catch {
    return undefined
  }
}
