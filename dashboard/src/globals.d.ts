/** The version of Conduit that this bundle was built with. */
declare const __CONDUIT_VERSION__: string;
