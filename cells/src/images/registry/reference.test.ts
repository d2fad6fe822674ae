import { expect, it } from 'vitest';
import { parseImageReference } from './reference.js';

const DIGEST = `sha256:${'a'.repeat(64)}`;

it.each([
  ['docker://r.example/team/app:1.2', 'r.example', 'team/app', '1.2', 'r.example/team/app:1.2'],
  ['docker://127.0.0.1:5000/app', '127.0.0.1:5000', 'app', 'latest', '127.0.0.1:5000/app:latest'],
  ['docker://[::1]:5000/app:x', '[::1]:5000', 'app', 'x', '[::1]:5000/app:x'],
  [`docker://r.example/app@${DIGEST}`, 'r.example', 'app', DIGEST, `r.example/app@${DIGEST}`],
  [`docker://r.example/app:1@${DIGEST}`, 'r.example', 'app', DIGEST, `r.example/app:1@${DIGEST}`],
  ['docker://r.example:5000/app#1.2', 'r.example:5000', 'app', '1.2', 'r.example:5000/app:1.2'],
  ['docker:///team/app#1.2', 'registry-1.docker.io', 'team/app', '1.2', 'docker.io/team/app:1.2'],
  ['docker:///busybox', 'registry-1.docker.io', 'library/busybox', 'latest', 'docker.io/library/busybox:latest'],
  ['docker://docker.io/busybox:1', 'registry-1.docker.io', 'library/busybox', '1', 'docker.io/library/busybox:1'],
])('%s', (rootFs, registry, repository, wanted, name) => {
  expect(parseImageReference(rootFs)).toEqual({ registry, repository, wanted, name });
});

it.each([
  ['docker://busybox', 'is not like docker://HOST/REPOSITORY:TAG'],
  ['docker:busybox', 'is not like'],
  ['docker://user:secret@r.example/app', "image 'docker://r.example/app' names a registry"],
  ['docker://r.example:x/app', 'names a registry that is not'],
  ['docker://r.example/App', "bad repository name 'App'"],
  ['docker://r.example/../app', 'bad repository name'],
  ['docker://r.example/a//b', 'bad repository name'],
  ['docker://r.example/app:', "bad tag ''"],
  ['docker://r.example/app:a b', 'bad tag'],
  ['docker://r.example/app#../../x', 'bad tag'],
  ['docker://r.example/app@sha256:abc', "bad digest 'sha256:abc'"],
  [`docker://r.example/app@md5:${'a'.repeat(32)}`, 'bad digest'],
])('%s is refused', (rootFs, why) => {
  expect(() => parseImageReference(rootFs)).toThrow(why);
});
