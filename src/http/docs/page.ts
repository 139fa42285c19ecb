/**
 * The common parts of the server's pages: no script, and nothing loaded from elsewhere.
 * @module
 */

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, h2 { font-family: ui-monospace, monospace; }
h2 { font-size: 1.05rem; margin: 2.5rem 0 .3rem; border-top: 1px solid #8886; padding-top: 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td { border-top: 1px solid #8883; padding: .25rem .75rem .25rem 0; vertical-align: top; }
td:first-child { width: 14rem; } caption { text-align: left; font-weight: 600; } small { opacity: .7; }`;

/** Allows only the style in the page itself; nothing may be loaded, run, sent or framed. */
export const pageHeaders: { readonly 'Content-Security-Policy': string } = {
  'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    + "frame-ancestors 'none'",
};

/** @param title Text. @param body HTML. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body>${body}</body></html>
`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
