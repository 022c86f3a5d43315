// Reads a log of ron-kms with the Go project's own sumdb packages: the signed checkpoint, every entry, every tile and a
// receipt. Nothing in here is ours but file names (C2SP tlog-tiles) and the layout of a bundle and a receipt.
//
//	go-sumdb <audit.dir> <Ed25519 vkey> [receipt]
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fail(fmt.Errorf("usage: go-sumdb <audit.dir> <vkey> [receipt]"))
	}
	dir := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)

	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	must(err)
	tree, err := openCheckpoint(signed, verifier)
	must(err)
	fmt.Printf("OK checkpoint %d %s\n", tree.N, tree.Hash)

	stored, err := hashEntries(dir, tree)
	must(err)
	fmt.Printf("OK entries %d\n", tree.N)

	count, err := checkTiles(dir, tree, stored)
	must(err)
	fmt.Printf("OK tiles %d\n", count)

	must(readThroughTiles(dir, tree, stored))
	fmt.Println("OK tile reader")

	if len(os.Args) == 4 {
		text, err := os.ReadFile(os.Args[3])
		must(err)
		index, err := checkReceipt(string(text), verifier)
		must(err)
		fmt.Printf("OK receipt %d\n", index)
	}
}

// openCheckpoint holds the note against the key and reads its three lines.
func openCheckpoint(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// storedHashes are all hashes of the tree in the order tlog gives them.
type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d is not there yet", index)
		}
		hashes[i] = s[index]
	}
	return hashes, nil
}

// hashEntries makes the tree anew from the entry bundles and compares its root with the checkpoint's.
func hashEntries(dir string, tree tlog.Tree) (storedHashes, error) {
	var stored storedHashes
	for index := int64(0); index < tree.N; {
		tile := tlog.Tile{H: tileHeight, L: -1, N: index >> tileHeight, W: int(min64(1<<tileHeight, tree.N-index))}
		bundle, err := os.ReadFile(filepath.Join(dir, tilePath(tile)))
		if err != nil {
			return nil, err
		}
		for ; len(bundle) >= 2; index++ {
			length := 2 + int(binary.BigEndian.Uint16(bundle))
			if length > len(bundle) {
				return nil, fmt.Errorf("entry %d is cut short", index)
			}
			hashes, err := tlog.StoredHashes(index, bundle[2:length], stored)
			if err != nil {
				return nil, err
			}
			stored = append(stored, hashes...)
			bundle = bundle[length:]
		}
		if len(bundle) != 0 || index != tile.N<<tileHeight+int64(tile.W) {
			return nil, fmt.Errorf("%s does not hold %d entries", tilePath(tile), tile.W)
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err == nil && root != tree.Hash {
		err = fmt.Errorf("the entries make the root %s", root)
	}
	return stored, err
}

// checkTiles compares every hash tile that a tree of this size has with what the entries make of it.
func checkTiles(dir string, tree tlog.Tree, stored storedHashes) (int, error) {
	tiles := tlog.NewTiles(tileHeight, 0, tree.N)
	for _, tile := range tiles {
		want, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return 0, err
		}
		have, err := os.ReadFile(filepath.Join(dir, tilePath(tile)))
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(have, want) {
			return 0, fmt.Errorf("%s is not what the entries make", tilePath(tile))
		}
	}
	return len(tiles), nil
}

// readThroughTiles lets tlog find and authenticate leaf hashes by itself, knowing only the tree head and the files.
func readThroughTiles(dir string, tree tlog.Tree, stored storedHashes) error {
	reader := tlog.TileHashReader(tree, tileFiles(dir))
	for _, index := range []int64{0, tree.N / 2, tree.N - 1} {
		at := tlog.StoredHashIndex(0, index)
		hashes, err := reader.ReadHashes([]int64{at})
		if err != nil {
			return err
		}
		if hashes[0] != stored[at] {
			return fmt.Errorf("the tiles give another hash for entry %d", index)
		}
	}
	return nil
}

// checkReceipt reads a c2sp.org/tlog-proof@v1 whose extra is the entry.
func checkReceipt(text string, verifier note.Verifier) (int64, error) {
	head, signed, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return 0, fmt.Errorf("not a receipt")
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return 0, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return 0, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, err
		}
		proof = append(proof, hash)
	}
	tree, err := openCheckpoint([]byte(signed), verifier)
	if err != nil {
		return 0, err
	}
	return index, tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// tileFiles reads tiles from the directory of the log.
type tileFiles string

func (dir tileFiles) Height() int { return tileHeight }

func (dir tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		var err error
		if data[i], err = os.ReadFile(filepath.Join(string(dir), tilePath(tile))); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (dir tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

// tilePath is sumdb's path without the height, which tlog-tiles fixes, and with another name for entries.
func tilePath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	if rest := strings.TrimPrefix(path, "data/"); rest != path {
		path = "entries/" + rest
	}
	return "tile/" + path
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "FAILED:", err)
	os.Exit(1)
}
