const expo = require('eslint-config-expo/flat');

module.exports = [
  ...expo,
  { ignores: ['dist/', 'src/api/schema.ts', '.expo/'] },
  {
    // The network lives in one folder; screens speak to it by name.
    files: ['app/**', 'src/**'],
    ignores: ['src/api/**'],
    rules: { 'no-restricted-globals': ['error', 'fetch', 'XMLHttpRequest', 'WebSocket'] },
  },
];
