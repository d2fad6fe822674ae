#!/usr/bin/env -S node --max-semi-space-size=64
// Committed, and executable from the start: npm links it before anything is built.
// A server makes much that lives as long as one transaction; where the space for the young is small, that is taken for old, and a
// sixth of its CPU time goes into collecting it. The space grows only with what is made.
await import('../dist/main.js');
