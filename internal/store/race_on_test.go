//go:build race

package store_test

// raceDetector slows SQLite, which is Go here, some thirtyfold.
const raceDetector = true
