// Checks a transparency log with Go's sumdb packages, which we did not write: the checkpoint's signature (note), and proofs of
// inclusion and consistency made out of the log's tiles (tlog), each against the hashes that the log itself says.
//
//	tlog LOG-URL VKEY [OLD-CHECKPOINT-FILE]
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"mintmark/interop/note"
	"mintmark/interop/tlog"
)

var client = &http.Client{Timeout: 30 * time.Second}

func get(url string) ([]byte, error) {
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 32<<20))
}

// A C2SP checkpoint: origin, size, root. Go's own ParseTree wants its own first line.
func parse(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: hash}, err
}

// The log's tiles, as C2SP tlog-tiles has them: of height 8, without the height in the path.
type tiles struct{ url string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := get(t.url + "/" + path)
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func entries(url string, size int64) ([][]byte, error) {
	var all [][]byte
	for start := int64(0); start < size; start += 256 {
		tile := tlog.Tile{H: 8, L: 0, N: start / 256, W: int(min(256, size-start))}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		data, err := get(url + "/" + path)
		if err != nil {
			return nil, err
		}
		for len(data) >= 2 {
			length := int(binary.BigEndian.Uint16(data))
			if len(data) < 2+length {
				return nil, errors.New("an entry is cut off")
			}
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
	}
	return all, nil
}

func check() error {
	url := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	if err != nil {
		return err
	}
	text, err := get(url + "/checkpoint")
	if err != nil {
		return err
	}
	tree, err := parse(text, verifier)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, tiles{url})
	all, err := entries(url, tree.N)
	if err != nil {
		return err
	}
	if int64(len(all)) != tree.N {
		return fmt.Errorf("%d entries in a tree of %d", len(all), tree.N)
	}
	for index, entry := range all {
		proof, err := tlog.ProveRecord(tree.N, int64(index), reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entry)); err != nil {
			return err
		}
		if tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(append(entry, 0))) == nil {
			return errors.New("another entry was proven too")
		}
	}
	if len(os.Args) > 3 {
		data, err := os.ReadFile(os.Args[3])
		if err != nil {
			return err
		}
		old, err := parse(data, verifier)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, old.N, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return err
		}
		old.Hash[0] ^= 1
		if tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash) == nil {
			return errors.New("another old tree was proven too")
		}
		fmt.Printf("%d entries, consistent with %d\n", tree.N, old.N)
		return nil
	}
	fmt.Printf("%d entries\n", tree.N)
	return nil
}

func main() {
	if err := check(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
