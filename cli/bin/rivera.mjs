#!/usr/bin/env node
// Committed, and executable from the start: npm links it before anything is built.
await import('../dist/main.js');
