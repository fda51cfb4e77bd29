package login

import (
	"net/http"
	"net/netip"
)

// onlyHere turns away everybody who is not at this machine, and pages of other sites whose name leads here.
func (d *Door) onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, tcp := peer(r); tcp && (a == netip.Addr{} || !a.IsLoopback()) || r.Host != d.host {
			d.o.Show(w, r, Notice{Status: http.StatusForbidden, Title: "Only at this machine", Text: "The demo answers on " + d.o.PublicURL + " alone."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// choose shows whom one can be.
func (d *Door) choose(w http.ResponseWriter, r *http.Request) {
	d.o.Show(w, r, Notice{Status: http.StatusOK, Title: "Who do you want to be?", Text: "This is a demo: choose one of these made-up people.",
		People: d.o.People, To: LocalPath(r.FormValue("to"))})
}

// chosen signs in whoever was chosen.
func (d *Door) chosen(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	for _, u := range d.o.People {
		if u.Subject == r.PostFormValue("user") {
			d.enter(w, r, &visit{user: u}, r.PostFormValue("to"))
			return
		}
	}
	d.o.Show(w, r, Notice{Status: http.StatusBadRequest, Title: "Nobody is called that", Text: "Choose one of the demo's people.", Again: "/login"})
}
