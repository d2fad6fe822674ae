/*
 * @peculiar/x509 finds its algorithms through tsyringe, and tsyringe refuses to load without two functions of a
 * language proposal that no engine has. They keep notes about classes; this is all of them that it uses.
 */

type Notes = Map<PropertyKey, unknown>;

interface MetadataReflection {
  getMetadata(key: PropertyKey, target: object): unknown;
  getOwnMetadata(key: PropertyKey, target: object): unknown;
  defineMetadata(key: PropertyKey, value: unknown, target: object): void;
}

const notes = new WeakMap<object, Notes>();

const functions: MetadataReflection = {
  getMetadata(key, target) {
    for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at)) {
      const own = notes.get(at);
      if (own?.has(key)) return own.get(key);
    }
    return undefined;
  },
  getOwnMetadata: (key, target) => notes.get(target)?.get(key),
  defineMetadata(key, value, target) {
    const own = notes.get(target) ?? new Map();
    notes.set(target, own.set(key, value));
  },
};

if (!('getMetadata' in Reflect)) Object.assign(Reflect, functions);
