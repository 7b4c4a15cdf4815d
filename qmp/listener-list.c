/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who listens to a client. Listeners may come and go while they are told something: who comes
 * is told the next thing, who goes leaves a gap until the telling is over. */

#include "listener-list.h"

struct _QmpListenerList
{
  GPtrArray *listeners;         /* of QmpListener, not owned; NULL for a gap */
  guint      telling;           /* how many times, one inside the other */
};

QmpListenerList *
qmp_listener_list_new (void)
{
  QmpListenerList *self = g_new0 (QmpListenerList, 1);

  self->listeners = g_ptr_array_new ();
  return self;
}

void
qmp_listener_list_free (QmpListenerList *self)
{
  g_ptr_array_unref (self->listeners);
  g_free (self);
}

void
qmp_listener_list_add (QmpListenerList *self,
                       QmpListener     *listener)
{
  g_ptr_array_add (self->listeners, listener);
}

void
qmp_listener_list_remove (QmpListenerList *self,
                          QmpListener     *listener)
{
  guint index;

  if (!g_ptr_array_find (self->listeners, listener, &index))
    return;
  if (self->telling > 0)
    self->listeners->pdata[index] = NULL;
  else
    g_ptr_array_remove_index (self->listeners, index);
}

static void
end_telling (QmpListenerList *self)
{
  if (--self->telling > 0)
    return;
  while (g_ptr_array_remove (self->listeners, NULL))
    ;
}

/* Gives an event to all who want it. */
void
qmp_listener_list_deliver (QmpListenerList  *self,
                           const QmpMessage *message)
{
  g_autoptr (QmpEvent) event = NULL;
  guint present = self->listeners->len;

  self->telling++;
  for (guint i = 0; i < present; i++)
    {
      if (self->listeners->pdata[i] != NULL)
        qmp_listener_deliver (self->listeners->pdata[i], message, &event);
    }
  end_telling (self);
}

void
qmp_listener_list_tell_drop (QmpListenerList *self)
{
  self->telling++;
  for (guint i = 0; i < self->listeners->len; i++)
    {
      if (self->listeners->pdata[i] != NULL)
        qmp_listener_link_dropped (self->listeners->pdata[i]);
    }
  end_telling (self);
}
