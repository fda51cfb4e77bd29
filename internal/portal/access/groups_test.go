package access_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
)

func TestGroupsGiveLevels(t *testing.T) {
	source, err := access.NewGroups([]access.Grant{
		{Group: "acme-devs", Namespace: "acme", Level: access.Developer},
		{Group: "acme-leads", Namespace: "acme/web", Level: access.Owner},
		{Group: "watchers", Namespace: "*", Level: access.Reporter},
		{Group: "registry:*:maintainer", Namespace: "*", Level: access.Maintainer},
		{Group: "team-*", Namespace: "teams/*", Level: access.Reporter},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := access.New(source, access.Policy{AdminGroups: []string{"wheel"}, OnlySubjects: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		groups  []string
		project string
		want    access.Level
	}{
		{[]string{"acme-devs"}, "acme/web", access.Developer},
		{[]string{"acme-devs"}, "acme", access.Developer},
		{[]string{"acme-devs"}, "acme/deep/web", access.Developer},
		{[]string{"acme-devs"}, "acme2/web", access.None},
		{[]string{"acme-devs"}, "other/acme", access.None},
		{[]string{"acme-leads", "acme-devs"}, "acme/web", access.Owner},
		{[]string{"acme-leads"}, "acme/webshop", access.None},
		{[]string{"acme-leads"}, "acme/web/cache", access.Owner},
		{[]string{"watchers"}, "any/thing", access.Reporter},
		{[]string{"registry:beta/app:maintainer"}, "beta/app", access.Maintainer},
		{[]string{"registry:beta:maintainer"}, "beta/app", access.Maintainer},
		{[]string{"registry::maintainer"}, "beta/app", access.None},
		{[]string{"registry:maintainer"}, "beta/app", access.None},
		{[]string{"registry:../beta:maintainer"}, "beta/app", access.None},
		{[]string{"registry:*:maintainer"}, "beta/app", access.None},
		{[]string{"team-red"}, "teams/red/app", access.Reporter},
		{[]string{"team-red"}, "teams/redder/app", access.None},
		{[]string{"wheel"}, "any/thing", access.Admin},
		{[]string{"Acme-Devs", ""}, "acme/web", access.None},
		{nil, "acme/web", access.None},
	} {
		l, err := a.View(t.Context(), account.User{Subject: t.Name() + c.project + cmpKey(c.groups), Groups: c.groups}, c.project)
		if l != c.want || (err == nil) != (c.want > access.None) {
			t.Errorf("%q in %s: want %v, got %v %v", c.groups, c.project, c.want, l, err)
		}
	}
	u := account.User{Subject: "s", Groups: []string{"acme-leads", "watchers"}}
	mine, whole, err := a.Mine(t.Context(), u, []string{"z/z", "acme/web"})
	if diff := cmp.Diff([]string{"z/z", "acme/web"}, mine); diff != "" || !whole || err != nil {
		t.Errorf("%v %v %s", whole, err, diff)
	}
	if l, err := a.Lift(t.Context(), u, "z/z"); l != access.Reporter || !errors.Is(err, access.ErrNotAllowed) {
		t.Errorf("%v %v", l, err)
	}
}

func cmpKey(groups []string) (key string) {
	for _, g := range groups {
		key += "," + g
	}
	return key
}

func TestGrantsThatAreRefused(t *testing.T) {
	for _, g := range []access.Grant{
		{Group: "", Namespace: "acme", Level: 30},
		{Group: "*", Namespace: "*", Level: 30},
		{Group: "a*b*", Namespace: "*", Level: 30},
		{Group: "devs", Namespace: "acme/*", Level: 30},
		{Group: "devs", Namespace: "Acme", Level: 30},
		{Group: "devs", Namespace: "", Level: 30},
		{Group: "devs", Namespace: "acme/../x", Level: 30},
		{Group: "devs", Namespace: "acme", Level: 0},
		{Group: "devs", Namespace: "acme", Level: 60},
	} {
		if _, err := access.NewGroups([]access.Grant{g}); err == nil {
			t.Errorf("%+v: want it refused", g)
		}
	}
}

func TestNamesOfLevels(t *testing.T) {
	for name, want := range map[string]access.Level{"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50} {
		if l, err := access.ParseLevel(name); l != want || err != nil || l.String() != name {
			t.Errorf("%s: got %v %v", name, l, err)
		}
	}
	for _, bad := range []string{"", "none", "admin", "Developer", "30"} {
		if _, err := access.ParseLevel(bad); err == nil {
			t.Errorf("%q: want it refused", bad)
		}
	}
	if access.Level(25).String() != "reporter" || access.Level(5).String() != "none" || access.Level(-1).String() != "none" {
		t.Error("a level between two is called like the lower")
	}
}

// TestAdminsAreNamedExactly where the provider may have root1 and ROOT1 as two people; at GitLab they are one.
func TestAdminsAreNamedExactly(t *testing.T) {
	source, err := access.NewGroups(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, fold := range []bool{false, true} {
		a, err := access.New(source, access.Policy{Admins: []string{"root1"}, FoldNames: fold})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"root1": true, "ROOT1": fold, "root": false} {
			if got := a.Admin(account.User{Subject: name, Username: name}); got != want {
				t.Errorf("%s, case ignored %v: want %v, got %v", name, fold, want, got)
			}
		}
	}
}
