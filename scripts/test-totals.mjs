// Prints the closing line of a test run: how many passed and failed, by the report that the runner wrote.
import { readFileSync } from 'node:fs';

const { numPassedTests, numFailedTests, testResults, success } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
// A file that could not even be loaded has failed, though none of its tests ran.
const broken = testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
);
for (const file of broken) console.log(`could not run: ${file.name}\n${file.message}`);
const failed = numFailedTests + broken.length;
if (!success && failed === 0) console.log('the run failed outside the tests');
console.log(`${numPassedTests} passed, ${failed} failed`);
