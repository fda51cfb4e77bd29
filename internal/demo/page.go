package demo

import (
	"net"

	"regwarden/internal/config"
)

// usualPage is where the project page is, if nobody else is there.
const usualPage = "127.0.0.1:9480"

// freePage is an address on loopback where nobody listens at this moment.
func freePage() string {
	for _, at := range []string{usualPage, "127.0.0.1:0"} {
		if l, err := net.Listen("tcp", at); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return usualPage // the daemon will say what is the matter
}

// portal is the project page with made-up people, each in another role in the project of the swarm's image.
func (d *demo) portal() *config.Portal {
	p := config.DefaultPortal()
	p.Listen, p.URL, p.Login, p.Admins = d.page, "http://"+d.page, "demo", []string{"ada"}
	p.People = []config.Person{
		{Subject: "1", Username: "dana", Name: "Dana, a Developer of acme/shop", Groups: []string{"shop-developers"}},
		{Subject: "2", Username: "mona", Name: "Mona, a Maintainer of acme/shop", Groups: []string{"shop-maintainers"}},
		{Subject: "3", Username: "remy", Name: "Remy, a Reporter of acme/shop", Groups: []string{"shop-reporters"}},
		{Subject: "4", Username: "otis", Name: "Otis, who is in another project", Groups: []string{"tools-owners"}},
		{Subject: "5", Username: "ada", Name: "Ada, an admin"},
	}
	p.Grants = []config.Grant{
		{Group: "shop-developers", Namespace: "acme/shop", Role: "developer"},
		{Group: "shop-maintainers", Namespace: "acme/shop", Role: "maintainer"},
		{Group: "shop-reporters", Namespace: "acme/shop", Role: "reporter"},
		{Group: "tools-owners", Namespace: "corp/tools", Role: "owner"},
	}
	return &p
}
