package answer

import "fmt"

// spelled is how letters that ASCII does not have are written with those that it has: accents go, and German umlauts are spelled out. What stands for a quote goes:
// a message has none.
var spelled = func() map[rune]string {
	out := map[rune]string{}
	for ascii, letters := range map[string]string{
		"A":    "ÀÁÂÃÅĀĂĄ",
		"AE":   "Æ",
		"Ae":   "Ä",
		"C":    "ÇĆĈĊČ",
		"D":    "ÐĎĐ",
		"E":    "ÈÉÊËĒĔĖĘĚ",
		"G":    "ĜĞĠĢ",
		"H":    "ĤĦ",
		"I":    "ÌÍÎÏĨĪĬĮİ",
		"IJ":   "Ĳ",
		"J":    "Ĵ",
		"K":    "Ķ",
		"L":    "ĹĻĽĿŁ",
		"N":    "ÑŃŅŇŊ",
		"O":    "ÒÓÔÕØŌŎŐ",
		"OE":   "Œ",
		"Oe":   "Ö",
		"R":    "ŔŖŘ",
		"S":    "ŚŜŞŠȘ",
		"T":    "ŢŤŦȚ",
		"Th":   "Þ",
		"U":    "ÙÚÛŨŪŬŮŰŲ",
		"Ue":   "Ü",
		"W":    "Ŵ",
		"Y":    "ÝŶŸ",
		"Z":    "ŹŻŽ",
		"a":    "àáâãåāăą",
		"ae":   "äæ",
		"c":    "çćĉċč",
		"d":    "ðďđ",
		"e":    "èéêëēĕėęě",
		"g":    "ĝğġģ",
		"h":    "ĥħ",
		"i":    "ìíîïĩīĭįı",
		"ij":   "ĳ",
		"j":    "ĵ",
		"k":    "ķĸ",
		"l":    "ĺļľŀł",
		"n":    "ñńņňŉŋ",
		"o":    "òóôõøōŏő",
		"oe":   "öœ",
		"r":    "ŕŗř",
		"s":    "śŝşšſș",
		"ss":   "ß",
		"t":    "ţťŧț",
		"th":   "þ",
		"u":    "ùúûũūŭůűų",
		"ue":   "ü",
		"w":    "ŵ",
		"y":    "ýÿŷ",
		"z":    "źżž",
		"-":    "‐‑‒–—―−",
		"...":  "…",
		" ":    "\u00a0\u2009\u202f",
		"":     "‘’‚‛“”„‟«»‹›´\u200b\ufeff",
		"x":    "×",
		":":    "÷",
		" EUR": "€",
		"*":    "•·",
	} {
		for _, c := range letters {
			out[c] = ascii
		}
	}
	return out
}()

// ascii spells a character that is no ASCII: what has no spelling is named by its number, so that two reasons do not read the same.
func ascii(c rune) string {
	if text, ok := spelled[c]; ok {
		return text
	}
	if 0x300 <= c && c <= 0x36f { // an accent that follows its letter
		return ""
	}
	if c < 0xa0 || c == 0xfffd { // controls, and bytes that are no text
		return "?"
	}
	return fmt.Sprintf("[U+%04X]", c)
}
