// What is wrong with a list of components, as CycloneDX's own schema has it; null if nothing is.
// usage: node validate.js FILE
'use strict'
const fs = require('fs')
const { Spec, Validation } = require('@cyclonedx/cyclonedx-library')

new Validation.JsonStrictValidator(Spec.Version.v1dot5)
  .validate(fs.readFileSync(process.argv[2], 'utf8'))
  .then(problem => console.log(JSON.stringify(problem)))
  .catch(error => { console.error(error); process.exitCode = 1 })
