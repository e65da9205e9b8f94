// Bundles page.js with the untouched @wireapp/avs package for the browser, into dist/.
import {build} from 'esbuild';
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

export async function bundle(outdir = join(here, 'dist')) {
  mkdirSync(outdir, {recursive: true});
  await build({
    entryPoints: [join(here, 'page.js')],
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'chrome110',
    outfile: join(outdir, 'page.js'),
    external: ['fs', 'path', 'crypto', 'worker_threads', 'perf_hooks', 'ws'], // touched under node only
    logLevel: 'error',
  });
  writeFileSync(join(outdir, 'index.html'), '<!doctype html><meta charset="utf-8"><body><script src="page.js"></script>\n');
  return outdir;
}
