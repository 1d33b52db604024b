/**
 * Loading of the client library of a backend, when the backend is used first.
 *
 * The specifier is not a literal, so bundlers leave the package outside of a bundle: dockerode reaches native modules that
 * no bundler can include, and yaml calls `require`. These packages are dependencies of kubelayer, and have to be installed
 * beside a bundle.
 */

/** The module of a package; `Module` is its type. */
export const loadPackage = <Module>(name: string): Promise<Module> =>
  import(/* webpackIgnore: true */ /* @vite-ignore */ name) as Promise<Module>
