import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ReflectionService } from '@grpc/reflection';

/** Made with the stubs, by `buf build`: a google.protobuf.FileDescriptorSet of everything in proto/. */
const DESCRIPTORS = '@rivera/gen/descriptors.binpb';

type PackageDefinition = ConstructorParameters<typeof ReflectionService>[0];

/** By the services that it names: what is read of the descriptors takes a megabyte, and a program may have many servers. */
const generated = new Map<string, ReflectionService | undefined>();

/** By the descriptors that were generated with the stubs; undefined when they are not installed. */
export function generatedReflection(services: readonly string[]): ReflectionService | undefined {
  const key = services.join(' ');
  if (!generated.has(key)) {
    const descriptors = generatedDescriptors();
    generated.set(key, descriptors && reflectionOf(descriptors, services));
  }
  return generated.get(key);
}

function generatedDescriptors(): Buffer | undefined {
  for (const folder of createRequire(import.meta.url).resolve.paths(DESCRIPTORS) ?? []) {
    try {
      return readFileSync(join(folder, DESCRIPTORS));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')))
        throw error;
    }
  }
  return undefined;
}

/** Answers clients such as grpcurl that ask what a server offers; it names the given services alone. */
export function reflectionOf(descriptors: Uint8Array, services: readonly string[]): ReflectionService {
  // The library looks at these bytes alone; the file names stay those of proto/.
  const files = { all: { fileDescriptorProtos: filesOf(Buffer.from(descriptors)) } };
  return new ReflectionService(files as unknown as PackageDefinition, { services: [...services] });
}

/** FileDescriptorSet is nothing but `repeated FileDescriptorProto file = 1`. */
function filesOf(set: Buffer): Buffer[] {
  const files: Buffer[] = [];
  let at = 0;
  while (at < set.length) {
    if (set[at] !== 0x0a) throw new Error('not a FileDescriptorSet');
    at++;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = set[at++];
      if (byte === undefined || shift > 28) throw new Error('the FileDescriptorSet is cut off');
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    files.push(set.subarray(at, at + length));
    at += length;
  }
  return files;
}
