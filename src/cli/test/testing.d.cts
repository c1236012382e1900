/** `gvm/testing`, for a test runner of your own. */

/**
 * Run the program `file`, a path or a `file:` URL (a .gasm with its golden beside it, with expectations of its own, or one that tests
 * itself) as `gvm test` does. Throws an error with the report if it does not pass.
 */
export declare function expectGolden(file: string | { readonly href: string }): void;
