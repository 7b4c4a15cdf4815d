/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

/* An identity service on loopback with a clock of its own, which answers as it is told to: for what
 * a real one cannot be made to do. Its tokens are "token-1", "token-2" and so on; each is
 * somebody's. It answers from threads of its own. */

typedef struct _FakeKeystone FakeKeystone;

/* What the next request is answered, in place of what is right. Strings are not copied. */
typedef struct
{
  guint       status;           /* 0: says nothing until the other side goes away */
  const char *body;             /* (nullable): what is right, or some reason */
  const char *token;            /* (nullable): none in the header */
  gsize       padding;          /* so many blanks behind it */
} FakeKeystoneAnswer;

FakeKeystone *fake_keystone_new            (void);
void          fake_keystone_free           (FakeKeystone *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeKeystone, fake_keystone_free)

const char   *fake_keystone_get_url        (FakeKeystone *self);        /* of no version */
void          fake_keystone_add_answer     (FakeKeystone *self, const FakeKeystoneAnswer *answer,
                                            guint times);

/* From now on tokens live so long; and its clock is so far ahead of ours. */
void          fake_keystone_set_times      (FakeKeystone *self, gint64 life_us, gint64 ahead_us);
/* Copied. The JSON of the catalogue, and of the versions; NULL: there are none. */
void          fake_keystone_set_catalogue  (FakeKeystone *self, const char *json);
void          fake_keystone_set_versions   (FakeKeystone *self, const char *json);
/* Nobody's from now on. */
void          fake_keystone_revoke         (FakeKeystone *self, const char *token);

/* Answers are held back, or not any more. */
void          fake_keystone_hold           (FakeKeystone *self, gboolean hold);

/* What it saw. */
guint         fake_keystone_count          (FakeKeystone *self, const char *method);
void          fake_keystone_wait_for       (FakeKeystone *self, const char *method, guint count);
char         *fake_keystone_get_body       (FakeKeystone *self);        /* of the last POST */
char         *fake_keystone_get_path       (FakeKeystone *self);        /* of the last request */
