import js from '@eslint/js'
import ts from 'typescript-eslint'

export default ts.config(
  { ignores: ['**/dist/**', 'packages/native/build/**', '**/.tsbuild/**', '**/node_modules/**', 'examples/**', '**/fixtures/**', 'test/consumers/*/run-*/**'] },
  js.configs.recommended,
  ...ts.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports', disallowTypeAnnotations: false }],
      'no-constant-condition': ['error', { checkLoops: false }],
      'no-control-regex': 'off',
      'no-empty': ['error', { allowEmptyCatch: true }],
      'preserve-caught-error': 'off',
      semi: ['error', 'never', { beforeStatementContinuationChars: 'always' }],
      quotes: ['error', 'single', { avoidEscape: true, allowTemplateLiterals: true }],
    },
  },
  {
    // Tests in Jest have another Error than Node and the environment.
    files: ['packages/*/src/**/*.ts'],
    ignores: ['packages/cli/**', 'packages/core/src/errors.ts'],
    rules: {
      'no-restricted-syntax': ['error', {
        selector: "BinaryExpression[operator='instanceof'][right.name=/^(Error|MayflyError)$/]",
        message: 'Errors come from other realms: isMayflyError, isError or messageOf.',
      }],
    },
  },
  {
    // Whether something compiles is what the tests of types test.
    files: ['**/test/**/*.ts'],
    rules: { '@typescript-eslint/no-unused-vars': 'off' },
  },
  {
    files: ['**/*.{mjs,js,cjs}'],
    languageOptions: {
      globals: Object.fromEntries(['process', 'console', 'performance', 'URL', 'Buffer', 'fetch', 'setTimeout', 'clearTimeout', 'setInterval',
        'clearInterval', 'setImmediate', 'AbortController', 'AbortSignal', 'structuredClone', 'module', 'exports', 'require', 'TextDecoder', 'TextEncoder', '__dirname'].map((name) => [name, 'readonly'])),
    },
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
)
