import { expect, it } from 'vitest';
import { networkEnvironment, processEnvironment } from './environment.js';

const network = {
  hostAddress: '10.0.0.1',
  containerAddress: '10.255.0.2',
  ports: [
    { containerPort: 8080, hostPort: 61_001 },
    { containerPort: 2222, hostPort: 61_002 },
  ],
};
const layers = { image: {}, instance: {}, definition: [], cell: {}, action: [], network, user: 'vcap' };

it('the later layer wins, and none wins over the network', () => {
  const named = (value: string) => [
    { name: 'A', value },
    { name: 'CF_INSTANCE_IP', value: '6.6.6.6' },
  ];
  const environment = processEnvironment({
    ...layers,
    image: { A: 'image', B: 'image', C: 'image', D: 'image' },
    instance: { B: 'instance', C: 'instance' },
    cell: { C: 'cell' },
    definition: [...named('definition'), { name: 'C', value: 'definition' }],
    action: named('action'),
  });
  expect(environment).toMatchObject({
    A: 'action',
    B: 'instance',
    C: 'cell',
    D: 'image',
    CF_INSTANCE_IP: '10.0.0.1',
  });
});

it('says where the container is reached', () => {
  expect(networkEnvironment(network)).toEqual({
    CF_INSTANCE_IP: '10.0.0.1',
    CF_INSTANCE_INTERNAL_IP: '10.255.0.2',
    CF_INSTANCE_PORT: '61001',
    CF_INSTANCE_ADDR: '10.0.0.1:61001',
    CF_INSTANCE_PORTS: '[{"external":61001,"internal":8080},{"external":61002,"internal":2222}]',
  });
  expect(networkEnvironment({ ...network, ports: [] })).toMatchObject({
    CF_INSTANCE_PORT: '',
    CF_INSTANCE_ADDR: '',
    CF_INSTANCE_PORTS: '[]',
  });
});

it('gives PATH and USER to those who have none', () => {
  expect(processEnvironment(layers)).toMatchObject({ PATH: '/usr/local/bin:/usr/bin:/bin', USER: 'vcap' });
  expect(processEnvironment({ ...layers, user: 'root' }).PATH).toContain('/usr/local/sbin');
  expect(processEnvironment({ ...layers, user: '' }).USER).toBe('root');
  expect(processEnvironment({ ...layers, image: { PATH: '/image' } }).PATH).toBe('/image');
});
