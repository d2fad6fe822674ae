import { gardenContract } from '../contract.js';
import { ociWorld } from './contract-world.js';

gardenContract('oci', ociWorld);
