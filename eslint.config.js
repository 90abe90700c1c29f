// Rules for every workspace that has no eslint.config.js of its own: ESLint takes the nearest one above a file.
import js from "@eslint/js";
import globals from "globals";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/dist/", "**/node_modules/", "target/"] },
  js.configs.recommended,
  {
    // The pages, checked with their types.
    files: ["playground/src/**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      globals: globals.browser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // Lit binds the listeners of its templates to the element.
      "@typescript-eslint/unbound-method": "off",
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "with-single-extends" }],
    },
  },
  {
    // Node: the browser tests, which also send functions into pages, and the configuration files.
    files: ["**/*.{js,mjs}", "**/*.config.ts"],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
  {
    files: ["tests/browser/**/*.ts", "**/*.config.ts"],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { tsconfigRootDir: import.meta.dirname } },
  },
);
